import asyncio

import pytest
from sqlalchemy import Connection, select

from entrepot.database.database import Database
from entrepot.identity import browser_logins
from entrepot.identity.browser_logins import KEPT_LONGER_MS, BrowserLogin
from entrepot.identity.tables import used_logins
from tests.conformance.database.content import NOW_MS

pytestmark = pytest.mark.anyio

LOGIN = BrowserLogin("nonce", "verifier", "https://registry.example/auth/sso/callback", "/", NOW_MS + 600_000)


async def test_login_that_many_finish_at_once_is_finished_once(database: Database, other: Database) -> None:
    state = browser_logins.new_state()
    assert not await database.read(browser_logins.is_used, state)

    used = await asyncio.gather(*(worker.write(browser_logins.use, state, LOGIN) for worker in (database, other) * 5))

    assert sorted(used) == [False] * 9 + [True]
    assert await database.read(browser_logins.is_used, state)
    assert not await database.read(browser_logins.is_used, browser_logins.new_state())


async def test_state_of_a_login_is_not_kept(database: Database) -> None:
    state = browser_logins.new_state()
    await database.write(browser_logins.use, state, LOGIN)

    def everything(connection: Connection) -> str:
        return repr([tuple(row) for row in connection.execute(select(used_logins))])

    assert state not in await database.read(everything)


async def test_used_login_is_remembered_for_longer_than_its_cookie_is_good(database: Database) -> None:
    await database.write(browser_logins.use, "state", LOGIN)

    assert await database.write(browser_logins.expire, LOGIN.expires_at_ms + KEPT_LONGER_MS - 1) == 0
    assert await database.read(browser_logins.is_used, "state")
    assert await database.write(browser_logins.expire, LOGIN.expires_at_ms + KEPT_LONGER_MS) == 1
