import asyncio

import pytest
from sqlalchemy import Connection, select

from entrepot.database.database import Database
from entrepot.identity import pending
from entrepot.identity.tables import pending_logins
from tests.conformance.database.content import NOW_MS

pytestmark = pytest.mark.anyio

LATER_MS = NOW_MS + 600_000
CONTENT: dict[str, object] = {"nonce": "n", "return_to": "/é", "interval": 5}


async def start(database: Database, provider: str = "sso") -> str:
    secret = pending.new_secret()
    await database.write_soon(pending.start, secret, provider, CONTENT, NOW_MS, LATER_MS)
    return secret


async def test_login_is_taken_once(database: Database) -> None:
    secret = await start(database)

    assert await database.write(pending.take, secret, "sso", NOW_MS) == CONTENT
    assert await database.write(pending.take, secret, "sso", NOW_MS) is None


async def test_login_that_many_take_at_once_is_taken_once(database: Database, other: Database) -> None:
    secret = await start(database)

    taken = await asyncio.gather(
        *(worker.write(pending.take, secret, "sso", NOW_MS) for worker in (database, other) * 5)
    )

    assert sorted(taken, key=str) == [None] * 9 + [CONTENT]


async def test_login_is_found_until_it_takes_too_long(database: Database) -> None:
    secret = await start(database)

    assert await database.read(pending.find, secret, "sso", LATER_MS - 1) == CONTENT
    assert await database.read(pending.find, secret, "sso", LATER_MS) is None
    assert await database.write(pending.take, secret, "sso", LATER_MS) is None


async def test_login_belongs_to_its_provider(database: Database) -> None:
    secret = await start(database)

    assert await database.read(pending.find, secret, "another", NOW_MS) is None
    assert await database.write(pending.take, secret, "another", NOW_MS) is None
    assert await database.write(pending.take, secret, "sso", NOW_MS) == CONTENT


async def test_login_is_changed(database: Database) -> None:
    secret, untouched = await start(database), await start(database)

    await database.write(pending.change, secret, "sso", {"interval": 10})

    assert await database.read(pending.find, secret, "sso", NOW_MS) == {"interval": 10}
    assert await database.read(pending.find, untouched, "sso", NOW_MS) == CONTENT


async def test_secret_of_a_login_is_not_kept(database: Database) -> None:
    secret = await start(database)

    def everything(connection: Connection) -> str:
        return repr([tuple(row) for row in connection.execute(select(pending_logins))])

    assert secret not in await database.read(everything)


async def test_logins_that_took_too_long_are_forgotten_with_the_next_one(database: Database) -> None:
    for _ in range(3):
        await start(database)
    secret = pending.new_secret()
    await database.write(pending.start, secret, "sso", CONTENT, LATER_MS, LATER_MS + 1)

    assert await database.write(pending.expire, LATER_MS) == 0
    assert await database.write(pending.expire, LATER_MS + 1) == 1
