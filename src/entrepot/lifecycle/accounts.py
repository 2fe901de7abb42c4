"""What ends by itself around signing in: tokens, sessions, counts of failures; and users whom a directory lost."""

import asyncio
import logging

from sqlalchemy import Connection

from entrepot.database.database import Database
from entrepot.identity import browser_logins, device_logins, groups, handed_out, lockout, sessions, tokens, users
from entrepot.identity.errors import ProviderUnavailable
from entrepot.identity.external import ExternalUser, PasswordProvider
from entrepot.identity.users import User

TOKEN_KEPT_MS = 30 * 24 * 3600 * 1000
"""How long an expired token is still shown to its owner."""
USERS_AT_ONCE = 8
PAGE = 200
log = logging.getLogger(__name__)


async def expire(database: Database, now_ms: int) -> int:
    """Remove what has ended; returns how many things."""
    removed = await database.write(tokens.expire, now_ms - TOKEN_KEPT_MS, durable=False)
    for expire_some in (lockout.expire, sessions.expire, browser_logins.expire, device_logins.expire):
        removed += await database.write(expire_some, now_ms, durable=False)
    return removed


async def refresh(database: Database, directory: PasswordProvider, now_ms: int) -> int:
    """Ask the directory about every user whose state is older than it may be; answers how many lost access.

    While the directory does not answer nothing changes.
    """
    lost = 0
    before_ms = now_ms - directory.refresh_seconds * 1000
    while due := await database.read(users.stale, directory.name, before_ms, PAGE):
        for start in range(0, len(due), USERS_AT_ONCE):
            some = due[start : start + USERS_AT_ONCE]
            try:
                found = await asyncio.gather(*(directory.find(user.subject) for user in some))
            except ProviderUnavailable as error:
                log.warning("the users of %s could not be refreshed: %s", directory.name, error.message)
                return lost
            for user, known in zip(some, found, strict=True):
                await database.write(_refresh_row, directory.name, user, known, now_ms, durable=known is None)
                lost += known is None
    return lost


def _refresh_row(connection: Connection, provider: str, user: User, known: ExternalUser | None, now_ms: int) -> None:
    if known is None:
        handed_out.end(connection, users.change(connection, user, gone=True, refreshed_at_ms=now_ms))
        return
    current = users.provision(connection, provider, known, now_ms)
    groups.set_of_user(connection, users.account(connection, current), provider, known.groups, now_ms)
