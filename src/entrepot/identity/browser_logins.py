"""Logins in a browser, between the redirect to a provider and the way back.

Anybody can begin one, so nothing is kept of it here: what its end needs is in a cookie, sealed for this one login. Only
a login that has succeeded is remembered, as long as its cookie is good, so that it is not finished once more.
"""

import hashlib
import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from entrepot.database import dialect
from entrepot.identity import sealing
from entrepot.identity.tables import used_logins

STATE_BYTES = 32
SEALED_CHARACTERS_MAX = 4000
KEPT_LONGER_MS = 60_000
"""How long after its end a used login is remembered: clocks of replicas differ."""

_INSERT = dialect.insert_or_ignore(used_logins, "state_hash", returning=(used_logins.c.state_hash,))


@dataclass(frozen=True, slots=True)
class BrowserLogin:
    """What finishes the login. No part has a line break in it."""

    nonce: str
    verifier: str
    redirect_uri: str
    return_to: str
    expires_at_ms: int


def new_state() -> str:
    return secrets.token_urlsafe(STATE_BYTES)


def seal(key: bytes, provider: str, state: str, login: BrowserLogin) -> str:
    """The cookie's value, for this provider and this state."""
    parts = (login.nonce, login.verifier, login.redirect_uri, login.return_to, str(login.expires_at_ms))
    return sealing.seal(key, _purpose(provider, state), "\n".join(parts).encode())


def unseal(key: bytes, provider: str, state: str, sealed: str, now_ms: int) -> BrowserLogin | None:
    """None for what was sealed for another login, for something else, or not here, and when it took too long."""
    if len(sealed) > SEALED_CHARACTERS_MAX:
        return None
    content = sealing.unseal(key, _purpose(provider, state), sealed)
    if content is None:
        return None
    nonce, verifier, redirect_uri, return_to, expires_at_ms = content.decode().split("\n")
    login = BrowserLogin(nonce, verifier, redirect_uri, return_to, int(expires_at_ms))
    return login if login.expires_at_ms > now_ms else None


def is_used(connection: Connection, state: str) -> bool:
    statement = select(used_logins.c.state_hash).where(used_logins.c.state_hash == _hash(state))
    return connection.execute(statement).first() is not None


def use(connection: Connection, state: str, login: BrowserLogin) -> bool:
    """Remember that the login succeeded; False when that was remembered before."""
    row = {"state_hash": _hash(state), "expires_at_ms": login.expires_at_ms + KEPT_LONGER_MS}
    return dialect.execute(connection, _INSERT, row).first() is not None


def expire(connection: Connection, now_ms: int) -> int:
    """Forget used logins whose cookies are good no more; answers how many."""
    return connection.execute(delete(used_logins).where(used_logins.c.expires_at_ms <= now_ms)).rowcount


def _purpose(provider: str, state: str) -> str:
    return f"login in a browser\n{provider}\n{state}"


def _hash(state: str) -> bytes:
    return hashlib.sha256(state.encode("utf-8", "surrogatepass")).digest()
