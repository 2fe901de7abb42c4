"""The own account: who I am here, my password, my tokens."""

from entrepot.access.permissions import Permission
from entrepot.actions.manage import account as manage
from entrepot.actions.manage import tokens as manage_tokens
from entrepot.http.api import tokens
from entrepot.http.api.names import Password, TokenId
from entrepot.http.api.resource import PAGE_DEFAULT, After, ApiRoute, CurrentRequest, Model, Page, PageLimit
from entrepot.http.api.tokens import LimitBody, NewToken, RotateBody, TokenAnswer, TokenBody


class CredentialAnswer(Model):
    kind: str
    """How this request is signed in: `password`, `token`, `robot`, `workload`, `session`, `certificate`."""
    id: str
    """A token's id; empty for what has none."""
    limits: list[LimitBody] | None
    """What the token is limited to; null: nothing."""


class AccountAnswer(Model):
    provider: str
    name: str
    display_name: str
    email: str
    administrator: bool
    owner: str | None
    """Who answers for a robot."""
    groups: list[str]
    """`provider:name` of each."""
    roles: list[str]
    """Those for the whole registry."""
    credential: CredentialAnswer


class PasswordBody(Model):
    current: Password
    new: Password


async def get(request: CurrentRequest) -> AccountAnswer:
    """Who is signed in, and by what."""
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
    """Change the own password. Browsers and docker logins have to sign in again; personal tokens stay."""
    await manage.change_password(request.app, request.caller, body.current, body.new)


async def list_tokens(request: CurrentRequest, after: After = "", limit: PageLimit = PAGE_DEFAULT) -> Page[TokenAnswer]:
    """Personal tokens, and the refresh tokens of docker logins."""
    user = await manage_tokens.own_account(request.app, request.principal)
    return await tokens.listing(request, user, after, limit)


async def create_token(request: CurrentRequest, body: TokenBody) -> NewToken:
    """Make a token. The one that this request may be signed in by ends it with itself."""
    user = await manage_tokens.own_account(request.app, request.principal)
    made = await manage_tokens.create(request.app, request.caller, user, tokens.parse(body))
    return tokens.new(request, user, *made)


async def delete_token(request: CurrentRequest, token_id: TokenId) -> None:
    user = await manage_tokens.own_account(request.app, request.principal)
    await manage_tokens.revoke(request.app, request.caller, user, token_id)


async def rotate_token(request: CurrentRequest, token_id: TokenId, body: RotateBody) -> NewToken:
    """Make a token like this one in its place; for a while, both are good."""
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
