"""The providers of users."""

from entrepot.access.permissions import Permission
from entrepot.http.api.resource import ApiRoute, CurrentRequest, Model, Page
from entrepot.identity.users import LOCAL


class ProviderAnswer(Model):
    name: str
    type: str
    """`local`, or the provider's `type` in the settings."""


async def listing(request: CurrentRequest) -> Page[ProviderAnswer]:
    """List the registry itself, then the providers of the settings in the order in which they are asked."""
    found = [(LOCAL, LOCAL), *((known.name, known.type) for known in request.app.providers)]
    return Page(items=[ProviderAnswer(name=name, type=kind) for name, kind in found], next=None)


ROUTES = (ApiRoute("GET", "/providers", listing, Permission.PROVIDER_READ),)
