import pytest
from sqlalchemy import Connection, insert, select

from entrepot.database import topics
from entrepot.database.database import Database
from entrepot.identity import sessions
from entrepot.identity.sessions import NewSession, Session, new_value
from entrepot.identity.tables import sessions as table
from entrepot.identity.tables import users
from tests.conformance.database.content import NOW_MS
from tests.conformance.database.remembering import Watched
from tests.conformance.database.waiting import until

pytestmark = pytest.mark.anyio

LATER_MS = NOW_MS + 3_600_000


def add_user(connection: Connection, name: str) -> int:
    values = {"provider": "sso", "subject": f"subject of {name}", "name": name, "created_at_ms": NOW_MS}
    number: int = connection.execute(insert(users).returning(users.c.id), values).scalar_one()
    return number


async def start(database: Database, user_id: int, session: str = "", subject: str = "", at_ms: int = NOW_MS) -> str:
    value = new_value()
    new = NewSession(user_id, "sso", "192.0.2.1", session, subject, "the.id.token")
    await database.write(sessions.start, value, new, at_ms, LATER_MS)
    return value


async def is_there(database: Database, value: str) -> bool:
    return await database.look_up(sessions.find, value, NOW_MS) is not None


async def test_session_is_found_by_its_value_until_it_is_over(database: Database) -> None:
    user_id = await database.write(add_user, "ada")
    value = await start(database, user_id, "s1", "0001")

    assert await database.look_up(sessions.find, value, LATER_MS - 1) == Session(
        user_id, "sso", "ada", "sso", "s1", "0001", "the.id.token", "192.0.2.1", NOW_MS, LATER_MS
    )
    assert await database.look_up(sessions.find, value, LATER_MS) is None
    for wrong in ("", value[:-1], value + "x", new_value(), "\x00", "\ud800"):
        assert await database.look_up(sessions.find, wrong, NOW_MS) is None


async def test_value_of_a_session_is_not_kept(database: Database) -> None:
    value = await start(database, await database.write(add_user, "ada"))

    def everything(connection: Connection) -> str:
        return repr([tuple(row) for row in connection.execute(select(table))])

    assert value not in await database.read(everything)


async def test_session_that_is_ended_is_gone(database: Database) -> None:
    user_id = await database.write(add_user, "ada")
    value, other = await start(database, user_id), await start(database, user_id)

    assert await database.write(sessions.end, value)
    assert not await database.write(sessions.end, value)
    assert not await is_there(database, value)
    assert await is_there(database, other)


async def test_sessions_of_a_user_end_together(database: Database) -> None:
    ada, ben = await database.write(add_user, "ada"), await database.write(add_user, "ben")
    of_ada, of_ben = [await start(database, ada) for _ in range(3)], await start(database, ben)

    assert await database.write(sessions.end_of_user, ada) == 3
    assert [await is_there(database, value) for value in of_ada] == [False] * 3
    assert await is_there(database, of_ben)


@pytest.mark.parametrize(
    ("subject", "session", "ended"),
    [
        ("0001", "", {"first", "second"}),
        ("", "s1", {"first"}),
        ("0001", "s1", {"first"}),
        ("0002", "s1", set()),
        ("0001", "s9", set()),
        ("0009", "", set()),
    ],
)
async def test_sessions_end_when_the_provider_says_so(
    database: Database, subject: str, session: str, ended: set[str]
) -> None:
    ada, ben = await database.write(add_user, "ada"), await database.write(add_user, "ben")
    started = {
        "first": await start(database, ada, "s1", "0001"),
        "second": await start(database, ada, "s2", "0001"),
        "third": await start(database, ben, "s3", "0002"),
        "without": await start(database, ben),
    }

    count = await database.write(sessions.end_of_provider, "sso", subject, session, NOW_MS + 1)

    assert count == len(ended)
    assert {name for name, value in started.items() if not await is_there(database, value)} == ended


async def test_word_of_the_provider_does_not_end_what_began_later_or_elsewhere(database: Database) -> None:
    ada = await database.write(add_user, "ada")
    value = await start(database, ada, "s1", "0001", at_ms=NOW_MS)

    assert await database.write(sessions.end_of_provider, "sso", "0001", "", NOW_MS) == 0
    assert await database.write(sessions.end_of_provider, "another", "0001", "", NOW_MS + 1) == 0
    assert await is_there(database, value)


async def test_sessions_that_are_over_are_forgotten(database: Database) -> None:
    value = await start(database, await database.write(add_user, "ada"))

    assert await database.write(sessions.expire, LATER_MS - 1) == 0
    assert await is_there(database, value)
    assert await database.write(sessions.expire, LATER_MS) == 1


async def test_end_of_a_session_is_told_to_other_workers(database: Database, other: Database) -> None:
    watched = Watched(other)
    value = await start(database, await database.write(add_user, "ada"))
    await watched.remember(topics.SESSIONS)
    await database.write(sessions.end, value)
    await until(lambda: not watched.knows(topics.SESSIONS))
