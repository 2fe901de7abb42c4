"""Holds a route's permission against who asks; and the challenge that tells a client how to ask again."""

from entrepot.access.decision import Beyond, Decision, Where, Why
from entrepot.access.permissions import Permission
from entrepot.actions import acts, authorize, explain
from entrepot.audit.record import Missing
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

    code = "credentials_needed"


async def require(
    request: Request, permission: Permission, where: Where, or_permission: Permission | None = None
) -> None:
    """For who has one of the two. Raises Challenged when signing in, or another token, may help; else Denied."""
    decision = await authorize.ask(request.app, request.caller, permission, where)
    if decision.allowed:
        return
    if or_permission is not None and await authorize.may(request.app, request.caller, or_permission, where):
        return
    await _refuse(request, decision)


async def require_here(request: Request, where: Where) -> None:
    """The route's permission, asked by the handler, which alone knows where. Raises Challenged, Denied."""
    request.asks_itself = False
    await require(request, request.permission, where)


async def _refuse(request: Request, decision: Decision) -> None:
    """Raises Challenged, Denied."""
    caller, asked = request.caller, decision.asked
    if caller.principal.is_anonymous:
        raise Challenged("sign in first: use docker login, or send an Authorization header")
    if decision.beyond is Beyond.SCOPES and decision.why not in {Why.NOTHING, Why.ACCOUNT}:
        said = f"this token does not allow {asked.permission.value}"
        raise Challenged(f"{said}: request one with the scope in the challenge")
    refusal = explain.refusal(decision)
    where = authorize.resource(asked.permission, asked.where)
    await acts.refuse(request.app, caller, Missing(asked.permission.value), where, refusal.message)
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
