"""The caller's own account: identity, password and tokens."""

from entrepot.access.permissions import Permission
from entrepot.actions.manage import account as manage
from entrepot.actions.manage import tokens as manage_tokens
from entrepot.http.api import tokens
from entrepot.http.api.names import Password, TokenId
from entrepot.http.api.resource import PAGE_DEFAULT, After, ApiRoute, CurrentRequest, Model, Page, PageLimit
from entrepot.http.api.tokens import LimitBody, NewToken, RotateBody, TokenAnswer, TokenBody


class CredentialAnswer(Model):
    kind: str
    """The kind of credentials: `password`, `token`, `robot`, `workload`, `session` or `certificate`."""
    id: str
    """The id of the token; empty for other credentials."""
    limits: list[LimitBody] | None
    """The token's limits; null if it has none."""


class AccountAnswer(Model):
    provider: str
    name: str
    display_name: str
    email: str
    administrator: bool
    owner: str | None
    """The owner of a robot."""
    groups: list[str]
    """The user's groups, each as `provider:name`."""
    roles: list[str]
    """The permissions for the whole registry."""
    credential: CredentialAnswer


class PasswordBody(Model):
    current: Password
    new: Password


async def get(request: CurrentRequest) -> AccountAnswer:
    """Show who is signed in, and with which credentials."""
    principal = request.principal
    found = await manage.read(request.app, request.caller)
    limits = None
    if principal.limits is not None:
        limits = [LimitBody.model_validate(manage_tokens.plain(limit)) for limit in principal.limits]
    return AccountAnswer(
        provider=found.user.provider,
        name=found.user.name,
        display_name=found.user.display_name,
        email=found.user.email,
        administrator=found.user.administrator,
        owner=found.owner,
        groups=found.groups,
        roles=found.roles,
        credential=CredentialAnswer(kind=principal.credential.kind, id=principal.credential.id, limits=limits),
    )


async def put_password(request: CurrentRequest, body: PasswordBody) -> None:
    """Change your password. Browsers and docker logins must sign in again; personal tokens stay valid."""
    await manage.change_password(request.app, request.caller, body.current, body.new)


async def list_tokens(request: CurrentRequest, after: After = "", limit: PageLimit = PAGE_DEFAULT) -> Page[TokenAnswer]:
    """List your personal tokens and the refresh tokens of your docker logins."""
    user = await manage_tokens.own_account(request.app, request.principal)
    return await tokens.listing(request, user, after, limit)


async def create_token(request: CurrentRequest, body: TokenBody) -> NewToken:
    """Create a personal token. If the request uses a token, the new one ends when that one does."""
    user = await manage_tokens.own_account(request.app, request.principal)
    made = await manage_tokens.create(request.app, request.caller, user, tokens.parse(body))
    return tokens.new(request, user, *made)


async def delete_token(request: CurrentRequest, token_id: TokenId) -> None:
    user = await manage_tokens.own_account(request.app, request.principal)
    await manage_tokens.revoke(request.app, request.caller, user, token_id)


async def rotate_token(request: CurrentRequest, token_id: TokenId, body: RotateBody) -> NewToken:
    """Replace a token with a new one like it. The old one can stay valid for a while."""
    user = await manage_tokens.own_account(request.app, request.principal)
    made = await manage_tokens.rotate(request.app, request.caller, user, token_id, body.overlap_seconds)
    return tokens.new(request, user, *made)


ROUTES = (
    ApiRoute("GET", "/account", get, Permission.SIGNED_IN),
    ApiRoute("PUT", "/account/password", put_password, Permission.OWN_ACCOUNT, status=204),
    ApiRoute("GET", "/account/tokens", list_tokens, Permission.OWN_ACCOUNT),
    ApiRoute("POST", "/account/tokens", create_token, Permission.OWN_ACCOUNT, status=201),
    ApiRoute("DELETE", "/account/tokens/{token_id}", delete_token, Permission.OWN_ACCOUNT, status=204),
    ApiRoute("POST", "/account/tokens/{token_id}/rotate", rotate_token, Permission.OWN_ACCOUNT, status=201),
)
