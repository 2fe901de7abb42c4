"""The own account: who I am here, my password, my tokens."""

from entrepot.access.permissions import Permission
from entrepot.actions.manage import account as manage
from entrepot.actions.manage import tokens as manage_tokens
from entrepot.http.api import tokens
from entrepot.http.api.names import Password, TokenId
from entrepot.http.api.resource import PAGE_DEFAULT, After, ApiRoute, Caller, Limit, Model, Page
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


async def get(caller: Caller) -> AccountAnswer:
    """Who is signed in, and by what."""
    principal = caller.principal
    found = await manage.read(caller.app, principal, caller.origin)
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


async def put_password(caller: Caller, body: PasswordBody) -> None:
    """Change the own password. Browsers and docker logins have to sign in again; personal tokens stay."""
    await manage.change_password(caller.app, caller.principal, caller.origin, body.current, body.new)


async def list_tokens(caller: Caller, after: After = "", limit: Limit = PAGE_DEFAULT) -> Page[TokenAnswer]:
    """Personal tokens, and the refresh tokens of docker logins."""
    user = await manage_tokens.own_account(caller.app, caller.principal)
    return await tokens.listing(caller, user, after, limit)


async def create_token(caller: Caller, body: TokenBody) -> NewToken:
    """Make a token. The one that this request may be signed in by ends it with itself."""
    user = await manage_tokens.own_account(caller.app, caller.principal)
    made = await manage_tokens.create(caller.app, caller.principal, caller.origin, user, tokens.parse(body))
    return tokens.new(caller, user, *made)


async def delete_token(caller: Caller, token_id: TokenId) -> None:
    user = await manage_tokens.own_account(caller.app, caller.principal)
    await manage_tokens.revoke(caller.app, caller.principal, caller.origin, user, token_id)


async def rotate_token(caller: Caller, token_id: TokenId, body: RotateBody) -> NewToken:
    """Make a token like this one in its place; for a while, both are good."""
    user = await manage_tokens.own_account(caller.app, caller.principal)
    made = await manage_tokens.rotate(caller.app, caller.principal, caller.origin, user, token_id, body.overlap_seconds)
    return tokens.new(caller, user, *made)


ROUTES = (
    ApiRoute("GET", "/account", get, Permission.SIGNED_IN),
    ApiRoute("PUT", "/account/password", put_password, Permission.OWN_ACCOUNT, status=204),
    ApiRoute("GET", "/account/tokens", list_tokens, Permission.OWN_ACCOUNT),
    ApiRoute("POST", "/account/tokens", create_token, Permission.OWN_ACCOUNT, status=201),
    ApiRoute("DELETE", "/account/tokens/{token_id}", delete_token, Permission.OWN_ACCOUNT, status=204),
    ApiRoute("POST", "/account/tokens/{token_id}/rotate", rotate_token, Permission.OWN_ACCOUNT, status=201),
)
