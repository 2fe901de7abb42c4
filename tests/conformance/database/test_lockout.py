import asyncio

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

    counted = lockout.keys("alice", HERE, administrator=False)
    await database.write(lockout.succeeded, counted, NOW_MS, reserved=False)

    assert await wait(database, "alice", HERE) == 0
    assert await wait(database, "alice", THERE) > 0


async def test_who_was_right_before_is_not_kept_waiting_by_others_there(database: Database) -> None:
    counted = lockout.keys("alice", HERE, administrator=False)
    await database.write(lockout.succeeded, counted, NOW_MS, reserved=False)
    for number in range(60):
        await fail(database, f"guessed-{number}", HERE)

    assert await wait(database, "bob", HERE) > 0
    assert await wait(database, "alice", HERE) == 0
    # Nor by guesses at the own name from elsewhere; but by those from there.
    await fail(database, "alice", THERE, times=60)
    assert await wait(database, "alice", HERE) == 0
    await fail(database, "alice", HERE, times=4)
    assert await wait(database, "alice", HERE) > 0


async def test_tries_at_once_are_counted_before_they_are_checked(database: Database) -> None:
    counted = lockout.keys("alice", HERE, administrator=False)

    async def attempt(number: int) -> tuple[int, bool]:
        return await database.write(lockout.reserve, counted, POLICY, NOW_MS, b"%d" % number)

    results = await asyncio.gather(*(attempt(number) for number in range(20)))
    assert sum(reserved for _, reserved in results) == POLICY.failures_free
    assert sum(wait > 0 for wait, _ in results) == 20 - POLICY.failures_free


async def test_same_wrong_password_again_is_one_try(database: Database) -> None:
    counted = lockout.keys("alice", HERE, administrator=False)
    results = [await database.write(lockout.reserve, counted, POLICY, NOW_MS + n, b"same") for n in range(10)]
    assert results == [(0, True)] + [(0, False)] * 9
    later = NOW_MS + lockout.SAME_TRY_MS + 1
    assert await database.write(lockout.reserve, counted, POLICY, later, b"same") == (0, True)


async def test_try_that_was_right_is_given_back(database: Database) -> None:
    counted = lockout.keys("bob", HERE, administrator=False)
    for number in range(100):
        _, reserved = await database.write(lockout.reserve, counted, POLICY, NOW_MS, b"%d" % number)
        assert reserved
        await database.write(lockout.succeeded, counted, NOW_MS, reserved=True)
    # Whoever has an account does not pay for guesses with it: right ones take nothing off.
    await fail(database, "alice", HERE, times=30)
    assert await wait(database, "carol", HERE) > 0


async def test_failures_of_a_user_are_forgotten_from_everywhere(database: Database) -> None:
    for address in (HERE, THERE):
        await fail(database, "alice", address, times=20)
    await fail(database, "bob", times=4)

    await database.write(lockout.forget, "alice")

    assert await wait(database, "alice") == await wait(database, "alice", THERE) == 0
    assert await wait(database, "bob") > 0
