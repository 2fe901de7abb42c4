import pytest

from entrepot.database.database import Database
from entrepot.identity import lockout
from entrepot.identity.lockout import Policy
from tests.conformance.database.content import NOW_MS

pytestmark = pytest.mark.anyio

POLICY = Policy(failures_free=3, delay_seconds_max=900)
HERE, THERE = "192.0.2.1", "198.51.100.7"


async def fail(database: Database, name: str, address: str = HERE, times: int = 1, *, admin: bool = False) -> None:
    for _ in range(times):
        await database.write(lockout.failed, lockout.keys(name, address, administrator=admin), NOW_MS)


async def wait(database: Database, name: str, address: str = HERE, *, admin: bool = False, now_ms: int = NOW_MS) -> int:
    counted = lockout.keys(name, address, administrator=admin)
    return await database.read(lockout.wait_seconds, counted, POLICY, now_ms)


async def test_wait_begins_with_the_last_free_failure_and_doubles(database: Database) -> None:
    waits = []
    for _ in range(6):
        await fail(database, "alice")
        waits.append(await wait(database, "alice"))

    assert waits == [0, 0, 1, 2, 4, 8]
    assert await wait(database, "alice", now_ms=NOW_MS + 8000) == 0
    assert await wait(database, "alice", now_ms=NOW_MS + 24 * 3600 * 1000) == 0
    assert await wait(database, "alice", THERE) == 0
    assert await wait(database, "bob") == 0


async def test_many_addresses_wait_together_but_for_an_administrator(database: Database) -> None:
    for number in range(30):
        await fail(database, "alice", f"203.0.113.{number}")

    assert await wait(database, "alice", THERE) == 1
    assert await wait(database, "alice", THERE, admin=True) == 0


async def test_right_password_forgets_the_failures_from_there(database: Database) -> None:
    for address in (HERE, THERE):
        await fail(database, "alice", address, times=4)

    await database.write(lockout.succeeded, "alice", HERE)

    assert await wait(database, "alice", HERE) == 0
    assert await wait(database, "alice", THERE) > 0


async def test_failures_of_a_user_are_forgotten_from_everywhere(database: Database) -> None:
    for address in (HERE, THERE):
        await fail(database, "alice", address, times=20)
    await fail(database, "bob", times=4)

    await database.write(lockout.forget, "alice")

    assert await wait(database, "alice") == await wait(database, "alice", THERE) == 0
    assert await wait(database, "bob") > 0
