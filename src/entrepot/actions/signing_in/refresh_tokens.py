"""Refresh tokens: how Docker's clients stay signed in without keeping a password."""

from sqlalchemy import Connection

from entrepot.actions import accounts
from entrepot.actions.signing_in import best_effort, failures, stored_tokens, usable
from entrepot.app import App
from entrepot.audit.actions import Action
from entrepot.errors import Unauthenticated
from entrepot.identity import tokens, users
from entrepot.identity.errors import TokenInvalid
from entrepot.principal import Credential, Origin, Principal

KEPT_BY = frozenset({"password", "token", "robot"})
"""Kinds of credentials that a refresh token may stand for: what others show is over sooner."""


async def check(app: App, text: str, origin: Origin) -> Principal:
    """Who a refresh token was issued to; it lives on by being used. Raises TokenInvalid."""
    token_id = tokens.parse_id(text)
    token, user = await stored_tokens.find(app, token_id) if token_id is not None else (None, None)
    now_ms = app.clock()
    wrong = token is None or token.kind != tokens.REFRESH or not tokens.matches(token, text)
    try:
        if token is None or user is None or wrong or await stored_tokens.has_ended(app, token):
            raise TokenInvalid("the refresh token is not valid, was revoked or has expired: sign in again")
        usable.require(app, user)
    except Unauthenticated as error:
        who = user.name if user else ""
        raise await failures.record(app, who, origin, error, action=Action.LOGIN_REFRESH, token=token) from None
    if token.used_at_ms is None or token.used_at_ms < now_ms - tokens.USED_EVERY_MS:
        expires_at_ms = now_ms + app.settings.token.refresh_lifetime_seconds * 1000
        await best_effort.write(app, tokens.used, token.id, origin.address, now_ms, expires_at_ms)
    return accounts.principal(user, Credential("refresh", token.id), token.limits)


def add(connection: Connection, app: App, principal: Principal) -> str | None:
    """A new one for who is signed in; None when the user was removed just now."""
    user = users.get(connection, principal.user_id or 0)
    if user is None:
        return None
    now_ms = app.clock()
    expires_at_ms = now_ms + app.settings.token.refresh_lifetime_seconds * 1000
    # A refresh token reaches as far as what it was got with, and goes when that goes.
    parent = principal.credential.id if principal.credential.kind in stored_tokens.CREDENTIALS else ""
    if parent:
        source = tokens.find(connection, parent)
        if source is not None and source.expires_at_ms is not None:
            expires_at_ms = min(expires_at_ms, source.expires_at_ms)
    name = f"docker login ({parent})" if parent else "docker login"
    _, text = tokens.add(
        connection,
        tokens.REFRESH,
        user,
        name,
        limits=principal.limits,
        expires_at_ms=expires_at_ms,
        now_ms=now_ms,
        parent_id=parent or None,
    )
    return text
