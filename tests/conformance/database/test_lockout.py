import asyncio
from functools import partial

import pytest

from entrepot.database.database import Database
from entrepot.identity import lockout
from entrepot.identity.lockout import Delay, Policy
from tests.conformance.database.content import NOW_MS

pytestmark = pytest.mark.anyio

POLICY = Policy(failures_free=3, delay_seconds_max=900)
HERE, THERE = "192.0.2.1", "198.51.100.7"


async def fail(database: Database, name: str, address: str = HERE, times: int = 1) -> None:
    for _ in range(times):
        await database.write(lockout.failed, lockout.keys(name, address), NOW_MS)


async def look(
    database: Database, name: str, address: str = HERE, *, admin: bool = False, now_ms: int = NOW_MS
) -> Delay:
    counted = lockout.keys(name, address)
    return await database.read(lockout.delay, counted, POLICY, now_ms, administrator=admin)


async def wait(database: Database, name: str, address: str = HERE, *, admin: bool = False, now_ms: int = NOW_MS) -> int:
    """How long a right password has to wait."""
    delay = await look(database, name, address, admin=admin, now_ms=now_ms)
    return 0 if delay.excepted else delay.wait


async def attempt(
    database: Database, name: str, password: bytes, address: str = HERE, *, admin: bool = False, now_ms: int = NOW_MS
) -> tuple[Delay, tuple[str, ...]]:
    counted = lockout.keys(name, address)
    return await database.write(partial(lockout.reserve, administrator=admin), counted, POLICY, now_ms, password)


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

    counted = lockout.keys("alice", HERE)
    await database.write(lockout.succeeded, counted, NOW_MS)

    assert await wait(database, "alice", HERE) == 0
    assert await wait(database, "alice", THERE) > 0


async def test_who_was_right_before_is_not_kept_waiting_by_others_there(database: Database) -> None:
    counted = lockout.keys("alice", HERE)
    await database.write(lockout.succeeded, counted, NOW_MS)
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
    results = await asyncio.gather(*(attempt(database, "alice", b"%d" % number) for number in range(20)))

    assert sum(bool(reserved) for _, reserved in results) == POLICY.failures_free
    assert sum(delay.wait > 0 for delay, _ in results) == 20 - POLICY.failures_free


async def test_same_wrong_password_again_is_one_try(database: Database) -> None:
    results = [await attempt(database, "alice", b"same", now_ms=NOW_MS + n) for n in range(10)]
    assert [(delay.wait, bool(reserved)) for delay, reserved in results] == [(0, True)] + [(0, False)] * 9
    later = NOW_MS + lockout.SAME_TRY_MS + 1
    assert (await attempt(database, "alice", b"same", now_ms=later))[1]


async def test_tries_while_only_others_are_the_reason_to_wait_are_counted_apart_and_end(database: Database) -> None:
    """Of who is excepted, at the own address or as an administrator: what strangers see stays as it was."""
    await database.write(lockout.succeeded, lockout.keys("alice", HERE), NOW_MS)
    await fail(database, "alice", THERE, times=40)
    await fail(database, "root", THERE, times=40)
    before = (
        await look(database, "alice"),
        await look(database, "root", admin=True),
        await look(database, "carol", HERE),
    )
    assert [delay.excepted for delay in before] == [True, True, False]

    for name, admin in (("alice", False), ("root", True)):
        counted = [(await attempt(database, name, b"%d" % number, admin=admin))[1] for number in range(10)]
        assert sum(map(bool, counted)) == POLICY.failures_free
        assert (await wait(database, name, admin=admin)) == (await look(database, name)).wait > 0
    after = await look(database, "alice"), await look(database, "root", admin=True), await look(database, "carol", HERE)
    assert [delay.wait for delay in after] == [delay.wait for delay in before]


async def test_administrator_waits_as_anybody_for_guesses_from_the_own_address(database: Database) -> None:
    for number in range(40):
        await fail(database, f"guessed-{number}")
    delays = [await look(database, "root", admin=admin) for admin in (True, False)]
    assert delays[0] == delays[1]
    assert delays[0].wait > 0


async def test_try_that_was_right_is_given_back(database: Database) -> None:
    for number in range(100):
        _, reserved = await attempt(database, "bob", b"%d" % number)
        assert reserved
        await database.write(lockout.succeeded, lockout.keys("bob", HERE), NOW_MS, reserved)
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
