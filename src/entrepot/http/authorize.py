"""A route's permission, held against who asks; and the challenge that tells a client how to ask again."""

from entrepot.access.permissions import Permission
from entrepot.access.places import Place
from entrepot.actions import acts, authorize
from entrepot.errors import Unauthenticated
from entrepot.http.messages import Headers, Request
from entrepot.oci.name import is_repository_name

SERVICE = "entrepot"
TOKEN_PATH = "/token"  # noqa: S105 (a path, not a password)
_CHALLENGED_ACTIONS = {
    Permission.REPOSITORY_PULL: "pull",
    Permission.REPOSITORY_PUSH: "pull,push",
    Permission.REPOSITORY_DELETE: "delete",
}


class Challenged(Unauthenticated):
    """Credentials are needed, or others than were given."""


async def require(request: Request, permission: Permission, or_permission: Permission | None) -> None:
    """For who has one of the two. Raises Challenged when signing in, or another token, may help; else Denied."""
    # An empty name is none, too, and has to be found to be none here.
    repository = request.repository if permission in _CHALLENGED_ACTIONS else None
    if or_permission is not None:
        app, caller = request.app, request.caller
        if await authorize.may(app, caller, permission, repository):
            return
        if await authorize.may(app, caller, or_permission, repository):
            return
    await require_at(request, permission, repository)


async def require_at(request: Request, permission: Permission, path: str | None) -> None:
    """As `require`, for what is at a path: a repository or a namespace, None for the registry itself."""
    app, caller = request.app, request.caller
    if await authorize.may(app, caller, permission, path):
        return
    if caller.principal.is_anonymous:
        raise Challenged("sign in first: docker login, or send the Authorization header")
    if caller.principal.scopes is not None and await authorize.user_may(app, caller, permission, path):
        raise Challenged(f"this token does not allow {permission.value}: ask for one with the scope in the challenge")
    refusal = await authorize.refusal(app, caller, permission, path)
    await acts.refuse(app, caller, permission.value, authorize.resource(permission, path), refusal.message)
    raise refusal


async def require_throughout(request: Request, permission: Permission, place: Place) -> None:
    """As `require_at`, for all that is in a place: a namespace with all that is below it."""
    await require_at(request, permission, place.anchor)
    app, caller = request.app, request.caller
    if not await authorize.may_throughout(app, caller, permission, place):
        refusal = authorize.refusal_throughout(permission, place)
        where = authorize.place_resource(place)
        await acts.refuse(app, caller, permission.value, where, refusal.message)
        raise refusal


def challenge(request: Request, permission: Permission, error: Exception) -> Headers:
    """The WWW-Authenticate header (RFC 6750, section 3, with the token service's address)."""
    text = f'Bearer realm="{request.base_url}{TOKEN_PATH}",service="{SERVICE}"'
    if permission in _CHALLENGED_ACTIONS and is_repository_name(request.repository_text):
        # A name that is none could end the quotation, and name scopes that nobody asked for.
        text += f',scope="repository:{request.repository_text}:{_CHALLENGED_ACTIONS[permission]}"'
    elif permission is Permission.REGISTRY_CATALOG:
        text += ',scope="registry:catalog:*"'
    if request.principal.scopes is not None:
        text += ',error="insufficient_scope"'
    elif not isinstance(error, Challenged):
        text += ',error="invalid_token"'
    return [(b"www-authenticate", text.encode())]
