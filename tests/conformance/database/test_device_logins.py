import asyncio

import pytest
from sqlalchemy import Connection, select

from entrepot.database.database import Database
from entrepot.identity import device_logins
from entrepot.identity.device_logins import STARTING_MS, DeviceLoginLimits
from entrepot.identity.errors import TooManyDeviceLogins
from entrepot.identity.tables import device_logins as table
from tests.conformance.database.content import NOW_MS

pytestmark = pytest.mark.anyio

LATER_MS = NOW_MS + 600_000
LIMITS = DeviceLoginLimits(per_address=3, in_all=5)
HERE, THERE = "192.0.2.1", "198.51.100.7"


async def reserve(database: Database, address: str = HERE, now_ms: int = NOW_MS) -> str:
    secret = device_logins.new_secret()
    await database.write(device_logins.reserve, secret, "sso", address, LIMITS, now_ms, durable=False)
    return secret


async def begin(database: Database, address: str = HERE) -> str:
    secret = await reserve(database, address)
    assert await database.write(device_logins.begin, secret, "code-é", 5, NOW_MS, LATER_MS, durable=False)
    return secret


async def refusal(database: Database, address: str, now_ms: int = NOW_MS) -> TooManyDeviceLogins:
    with pytest.raises(TooManyDeviceLogins) as refused:
        await reserve(database, address, now_ms)
    with pytest.raises(TooManyDeviceLogins, match=str(refused.value.message)):
        await database.read(device_logins.check, address, LIMITS, now_ms)
    return refused.value


async def test_provider_is_asked_no_more_often_than_it_said(database: Database, other: Database) -> None:
    secret = await begin(database)
    assert await database.read(device_logins.next_at_ms, secret, "sso", NOW_MS) == NOW_MS

    asked = await asyncio.gather(
        *(worker.write(device_logins.take_turn, secret, "sso", NOW_MS) for worker in (database, other) * 5)
    )

    assert sorted(asked, key=str) == [None] * 9 + ["code-é"]
    assert await database.read(device_logins.next_at_ms, secret, "sso", NOW_MS) == NOW_MS + 5000
    assert await database.write(device_logins.take_turn, secret, "sso", NOW_MS + 4999) is None
    assert await database.write(device_logins.take_turn, secret, "sso", NOW_MS + 5000) == "code-é"


async def test_provider_that_wants_more_time_gets_it(database: Database) -> None:
    secret, untouched = await begin(database), await begin(database)
    await database.write(device_logins.take_turn, secret, "sso", NOW_MS)

    await database.write(device_logins.slow_down, secret, 5)

    assert await database.read(device_logins.next_at_ms, secret, "sso", NOW_MS) == NOW_MS + 10_000
    assert await database.write(device_logins.take_turn, secret, "sso", NOW_MS + 10_000) == "code-é"
    assert await database.read(device_logins.next_at_ms, secret, "sso", NOW_MS) == NOW_MS + 20_000
    assert await database.read(device_logins.next_at_ms, untouched, "sso", NOW_MS) == NOW_MS


async def test_login_is_found_until_it_takes_too_long(database: Database) -> None:
    secret = await begin(database)

    assert await database.read(device_logins.next_at_ms, secret, "sso", LATER_MS - 1) == NOW_MS
    assert await database.read(device_logins.next_at_ms, secret, "sso", LATER_MS) is None
    assert await database.write(device_logins.take_turn, secret, "sso", LATER_MS) is None


async def test_login_belongs_to_its_provider(database: Database) -> None:
    secret = await begin(database)

    assert await database.read(device_logins.next_at_ms, secret, "another", NOW_MS) is None
    assert await database.write(device_logins.take_turn, secret, "another", NOW_MS) is None
    assert await database.write(device_logins.take_turn, secret, "sso", NOW_MS) == "code-é"


async def test_secret_of_a_login_is_not_kept(database: Database) -> None:
    secret = await begin(database)

    def everything(connection: Connection) -> str:
        return repr([tuple(row) for row in connection.execute(select(table))])

    assert secret not in await database.read(everything)


async def test_address_has_few_places_and_takes_nobody_elses(database: Database) -> None:
    for _ in range(LIMITS.per_address):
        await begin(database)

    refused = await refusal(database, HERE)
    assert (refused.retry_after_seconds, "your address" in refused.message) == (600, True)
    await begin(database, THERE)


async def test_network_of_an_ipv6_client_is_one_address(database: Database) -> None:
    for number in range(LIMITS.per_address):
        await begin(database, f"2001:db8:1:2::{number}")

    assert "your address" in (await refusal(database, "2001:db8:1:2:3:4:5:6")).message
    await begin(database, "2001:db8:1:3::1")


async def test_places_in_all_are_few(database: Database) -> None:
    for number in range(LIMITS.in_all):
        await begin(database, f"203.0.113.{number}")

    refused = await refusal(database, HERE)
    assert (refused.retry_after_seconds, "your address" in refused.message) == (600, False)


async def test_place_is_free_again_when_a_login_ends(database: Database) -> None:
    secrets = [await begin(database) for _ in range(LIMITS.per_address)]
    await refusal(database, HERE)

    assert await database.write(device_logins.end, secrets[1])
    assert not await database.write(device_logins.end, secrets[1])

    await begin(database)
    await refusal(database, HERE)
    await reserve(database, now_ms=LATER_MS)


async def test_login_that_the_provider_did_not_begin_takes_a_place_for_a_minute(database: Database) -> None:
    """Else whoever is refused by the provider could have it asked without an end."""
    for _ in range(LIMITS.per_address):
        secret = await reserve(database)

    assert (await refusal(database, HERE, NOW_MS + STARTING_MS - 1)).retry_after_seconds == 1
    await reserve(database, now_ms=NOW_MS + STARTING_MS)
    assert not await database.write(device_logins.begin, secret, "code", 5, NOW_MS, LATER_MS)


async def test_many_at_once_get_no_more_places(database: Database, other: Database) -> None:
    async def attempt(worker: Database, number: int) -> bool:
        try:
            await reserve(worker, (HERE, THERE)[number % 2])
        except TooManyDeviceLogins:
            return False
        return True

    began = await asyncio.gather(*(attempt((database, other)[number // 2 % 2], number) for number in range(40)))

    assert sum(began) == LIMITS.in_all
    assert max(sum(began[0::2]), sum(began[1::2])) == LIMITS.per_address


async def test_logins_that_took_too_long_are_forgotten(database: Database) -> None:
    for _ in range(3):
        await begin(database)
    await reserve(database, THERE, LATER_MS - 1)

    assert await database.write(device_logins.expire, LATER_MS - 1) == 0
    assert await database.write(device_logins.expire, LATER_MS) == 3
