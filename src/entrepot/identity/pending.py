"""Logins that are under way: between the redirect to a provider and the way back, or while a device code is shown.

What a login is found by is a secret that only its browser or device has; here is only its SHA-256.
"""

import hashlib
import json
import secrets
from collections.abc import Mapping

from sqlalchemy import Connection, delete, func, insert, select, update

from entrepot.identity.errors import TooManyLogins
from entrepot.identity.tables import pending_logins

SECRET_BYTES = 32
LOGINS_MAX = 100_000
"""Logins under way, finished or not; anybody can start one."""


def new_secret() -> str:
    return secrets.token_urlsafe(SECRET_BYTES)


def start(
    connection: Connection, secret: str, provider: str, content: Mapping[str, object], now_ms: int, expires_at_ms: int
) -> None:
    """Keep what the end of the login needs. Raises TooManyLogins."""
    expire(connection, now_ms)
    counted = select(func.count()).select_from(select(pending_logins.c.provider).limit(LOGINS_MAX).subquery())
    if connection.execute(counted).scalar_one() >= LOGINS_MAX:
        raise TooManyLogins("too many logins are under way: try again in a few minutes")
    connection.execute(
        insert(pending_logins),
        {
            "id_hash": _hash(secret),
            "provider": provider,
            "content": json.dumps(dict(content)),
            "expires_at_ms": expires_at_ms,
        },
    )


def take(connection: Connection, secret: str, provider: str, now_ms: int) -> dict[str, object] | None:
    """What was kept, once: it is gone then. None when there is nothing, or not any more."""
    columns = pending_logins.c
    statement = delete(pending_logins).where(columns.id_hash == _hash(secret), columns.provider == provider)
    row = connection.execute(statement.returning(columns.content, columns.expires_at_ms)).one_or_none()
    return None if row is None or row.expires_at_ms <= now_ms else json.loads(row.content)


def find(connection: Connection, secret: str, provider: str, now_ms: int) -> dict[str, object] | None:
    """What was kept, which stays: a device asks many times."""
    columns = pending_logins.c
    content = connection.execute(
        select(columns.content).where(
            columns.id_hash == _hash(secret), columns.provider == provider, columns.expires_at_ms > now_ms
        )
    ).scalar_one_or_none()
    return None if content is None else json.loads(content)


def change(connection: Connection, secret: str, provider: str, content: Mapping[str, object]) -> None:
    """Keep something else for a login that is still under way."""
    columns = pending_logins.c
    where = (columns.id_hash == _hash(secret), columns.provider == provider)
    connection.execute(update(pending_logins).where(*where).values(content=json.dumps(dict(content))))


def expire(connection: Connection, now_ms: int) -> int:
    """Forget logins that took too long; answers how many."""
    return connection.execute(delete(pending_logins).where(pending_logins.c.expires_at_ms <= now_ms)).rowcount


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
