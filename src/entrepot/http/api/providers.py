"""Where users come from."""

from entrepot.access.permissions import Permission
from entrepot.http.api.resource import ApiRoute, CurrentRequest, Model, Page
from entrepot.identity.users import LOCAL


class ProviderAnswer(Model):
    name: str
    type: str
    """`local`, or the `type` that the settings give it."""


async def listing(request: CurrentRequest) -> Page[ProviderAnswer]:
    """The registry itself, and the providers of the settings in the order in which they are asked."""
    found = [(LOCAL, LOCAL), *((known.name, known.type) for known in request.app.providers)]
    return Page(items=[ProviderAnswer(name=name, type=kind) for name, kind in found], next=None)


ROUTES = (ApiRoute("GET", "/providers", listing, Permission.PROVIDER_READ),)
