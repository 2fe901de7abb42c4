"""Tokens that are rows here: those of people and of robots, by themselves or as a password."""

from dataclasses import replace

from entrepot.actions import accounts
from entrepot.actions.signing_in import best_effort, failures, usable
from entrepot.app import App
from entrepot.audit.actions import Action
from entrepot.database import topics
from entrepot.errors import Unauthenticated
from entrepot.identity import tokens
from entrepot.identity.errors import TokenInvalid
from entrepot.identity.names import ROBOT_PREFIX
from entrepot.identity.tokens import Token
from entrepot.identity.users import User
from entrepot.principal import Credential, Limit, Origin, Principal

CREDENTIALS = frozenset({"token", "robot", "refresh"})
"""Kinds of credentials whose id is a stored token's."""
_TOKEN_BYTES, _LIMIT_BYTES = 1200, 200
"""What remembering one costs, roughly."""


async def check(app: App, text: str, origin: Origin, name: str | None = None) -> Principal:
    """Who a stored token is for. `name`, when one is given beside it, has to be the owner's. Raises TokenInvalid."""
    token_id = tokens.parse_id(text)
    token, user = await find(app, token_id) if token_id is not None else (None, None)
    now_ms = app.clock()
    if token is None or user is None or token.kind == tokens.REFRESH or not tokens.matches(token, text):
        error = TokenInvalid("the token is not valid or was revoked: create a new one")
        raise await failures.record(app, name or "", origin, error, action=Action.LOGIN_TOKEN)
    try:
        if await has_ended(app, token):
            raise TokenInvalid(f"the token {token.name} has expired: create a new one")
        if name is not None and name not in _login_names(user):
            raise TokenInvalid("the token belongs to another user: sign in with that user's name")
        usable.require(app, user)
    except Unauthenticated as error:
        raise await failures.record(
            app, name or user.name, origin, error, action=Action.LOGIN_TOKEN, token=token
        ) from None
    if token.used_at_ms is None or token.used_at_ms < now_ms - tokens.USED_EVERY_MS:
        await _note_use(app, token, origin)
    kind = "robot" if user.is_robot else "token"
    return accounts.principal(user, Credential(kind, token.id), token.limits)


async def find(app: App, token_id: str) -> tuple[Token | None, User | None]:
    """The token, and who signs in with it: its owner, or the account that the owner is another login of."""
    token = await app.caches.accounts.remember(
        topics.TOKENS, token_id, lambda: app.database.look_up(tokens.find, token_id), _token_bytes
    )
    if token is None:
        return None, None
    # By number: its name may have become another user's.
    owner = await accounts.by_id(app, token.user_id)
    if owner is None or owner.linked_to is None or not owner.usable:
        return token, owner
    return token, await accounts.by_id(app, owner.linked_to) or owner


def _token_bytes(token: Token) -> int:
    return _TOKEN_BYTES + _LIMIT_BYTES * len(token.limits or ())


async def has_ended(app: App, token: Token) -> bool:
    """Whether it has expired, or what it was got with has, or is not there any more."""
    now_ms = app.clock()
    while not token.expired(now_ms):
        if token.parent_id is None:
            return False
        parent, _ = await find(app, token.parent_id)
        if parent is None:
            return True
        token = parent
    return True


async def limits_of(app: App, token_id: str) -> tuple[Limit, ...] | None:
    token, _ = await find(app, token_id)
    if token is None or await has_ended(app, token):
        raise TokenInvalid(
            "the token with which this bearer token was requested was revoked or has expired: sign in again"
        )
    return token.limits


async def _note_use(app: App, token: Token, origin: Origin) -> None:
    now_ms = app.clock()
    await best_effort.write(app, tokens.used, token.id, origin.address, now_ms)
    # Only what is still remembered: the token may have been revoked meanwhile.
    stamp = app.caches.stamp()
    known: Token | None = app.caches.accounts.get(topics.TOKENS, token.id)
    if known is not None:
        used = replace(known, used_at_ms=now_ms)
        app.caches.accounts.put(stamp, topics.TOKENS, token.id, used, _token_bytes(used))


def _login_names(user: User) -> tuple[str, ...]:
    return (f"{ROBOT_PREFIX}{user.name}",) if user.is_robot else (user.name,)
