"""Pending records become one chain, however many processes seal at once."""

import asyncio

import orjson
import pytest
from sqlalchemy import Connection, select, update

from entrepot.audit import chain, heads
from entrepot.audit.hashing import START, hash_of, link
from entrepot.audit.query import Found
from entrepot.audit.signing import is_signed
from entrepot.audit.tables import audit_records
from entrepot.audit.witness import ChainBroken
from entrepot.database.database import Database
from entrepot.database.errors import DatabaseUnavailable
from tests.conformance.database.audit_records import WITNESS, content, leave, record, stored
from tests.conformance.database.conftest import POSTGRESQL
from tests.conformance.database.content import NOW_MS
from tests.unit.audit.chains import KEY

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("in_own_directory")]


def assert_chained(found: list[Found], count: int) -> None:
    previous = START
    assert [each.seq for each in found] == list(range(1, count + 1))
    for each in found:
        previous = link(previous, hash_of(each.record.encode()), each.seq)
        assert each.hash == previous


async def test_records_are_sealed_in_the_order_in_which_they_were_left(database: Database) -> None:
    await database.write(leave, [record(number) for number in range(5)])
    await database.write(leave, [record(5)])

    assert await database.read(chain.is_pending)
    assert await database.write(chain.seal, 3) == 3
    assert await database.write(chain.seal, 30) == 3
    assert await database.write(chain.seal, 30) == 0
    found = await database.read(stored)
    assert_chained(found, 6)
    assert [content(each) for each in found] == [record(number) for number in range(6)]
    assert await database.read(chain.end) == (6, found[-1].hash)
    assert not await database.read(chain.is_pending)


async def test_nothing_is_sealed_when_nothing_is_pending(database: Database) -> None:
    assert await chain.seal_all(database) == 0
    assert await database.read(chain.end) == (0, START)


async def test_all_that_is_pending_is_sealed_at_once(database: Database) -> None:
    await database.write(leave, [record(number) for number in range(1201)])

    assert await chain.seal_all(database) == 1201
    assert_chained(await database.read(stored), 1201)


async def test_what_was_hashed_is_stored_and_canonical(database: Database) -> None:
    await database.write(leave, ['{ "time": "2026-11-25T10:00:00.123Z",\n "b": "\\u00fc", "a": 1 }'])
    await chain.seal_all(database)

    (found,) = await database.read(stored)
    salt = orjson.loads(found.record)["salt"]
    assert found.record == f'{{"a":1,"b":"ü","salt":"{salt}","time":"2026-11-25T10:00:00.123Z"}}'


async def test_records_that_are_alike_have_different_hashes(database: Database) -> None:
    """Or whoever sees the hash of a hidden record could try what it may have been."""
    await database.write(leave, [record(1)] * 50)
    await chain.seal_all(database)

    assert len({hash_of(each.record.encode()) for each in await database.read(stored)}) == 50


@pytest.mark.parametrize(
    "text",
    ["", "no JSON", "[]", '"text"', "1", "{}", '{"time":1}', '{"time":"yesterday"}', '{"time":"2026-11-25T10:00:00"}'],
)
async def test_text_that_is_no_record_does_not_stop_the_chain(database: Database, text: str) -> None:
    await database.write(leave, [record(1), text, record(2)])

    assert await chain.seal_all(database) == 3
    found = await database.read(stored)
    assert_chained(found, 3)
    assert content(found[1])["detail"] == {"text": text}


async def test_long_and_odd_values_do_not_stop_the_chain(database: Database) -> None:
    odd = record(
        1, actor="a" * 5000, resource="x\0y", address=None, action=["list"], digest="d" * 900, outcome="ö" * 90
    )
    await database.write(leave, [odd])

    assert await chain.seal_all(database) == 1
    (found,) = await database.read(stored)
    assert content(found) == odd


async def test_records_sealed_by_many_at_once_are_one_chain(database: Database, other: Database) -> None:
    async def work(worker: Database, number: int) -> None:
        for each in range(5):
            await worker.write(leave, [record(number * 100 + each * 10 + n) for n in range(4)])
            await worker.write(chain.seal, 3)

    await asyncio.gather(*(work(worker, number) for number, worker in enumerate((database, other) * 4)))
    await asyncio.gather(*(chain.seal_all(worker) for worker in (database, other) * 4))

    assert_chained(await database.read(stored), 8 * 5 * 4)


@pytest.mark.parametrize("backend", [POSTGRESQL], indirect=True)
async def test_record_of_a_slow_transaction_is_sealed_after_it(database: Database, other: Database) -> None:
    """Its number is older than what is sealed already."""
    waiting, going_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(connection: Connection) -> None:
        leave(connection, [record(1)])
        loop.call_soon_threadsafe(waiting.set)
        asyncio.run_coroutine_threadsafe(going_on.wait(), loop).result()

    writing = asyncio.create_task(database.write(slow))
    await waiting.wait()
    await other.write(leave, [record(2)])
    assert await other.write(chain.seal, 10) == 1
    going_on.set()
    await writing

    assert await other.write(chain.seal, 10) == 1
    found = await other.read(stored)
    assert_chained(found, 2)
    assert [content(each) for each in found] == [record(2), record(1)]


async def test_seal_that_fails_leaves_everything_pending(database: Database) -> None:
    await database.write(leave, [record(number) for number in range(5)])

    def fail(connection: Connection) -> None:
        chain.seal(connection, 3)
        raise ValueError("rolled back")

    with pytest.raises(ValueError, match="rolled back"):
        await database.write(fail)
    assert await chain.seal_all(database) == 5
    assert_chained(await database.read(stored), 5)


async def test_records_are_sealed_once_for_all(database: Database) -> None:
    await database.write(leave, [record(1)])
    await chain.seal_all(database)

    def again(connection: Connection) -> None:
        row = connection.execute(select(audit_records)).one()
        connection.execute(audit_records.insert().values(**row._mapping))

    with pytest.raises(DatabaseUnavailable):
        await database.write(again)
    assert_chained(await database.read(stored), 1)


# Heads.


async def test_head_is_signed_when_the_chain_moved(database: Database) -> None:
    assert not await heads.sign_end(database, WITNESS, NOW_MS)
    await database.write(leave, [record(number) for number in range(5)])
    await chain.seal_all(database)

    assert await heads.sign_end(database, WITNESS, NOW_MS)
    assert not await heads.sign_end(database, WITNESS, NOW_MS + 1)
    (head,) = (await database.read(heads.within, 1, 10)).values()
    assert is_signed(KEY.public_key(), head)
    assert (head["seq"], head["hash"]) == await database.read(chain.end)

    await database.write(leave, [record(6)])
    await chain.seal_all(database)
    assert await heads.sign_end(database, WITNESS, NOW_MS + 1)
    assert sorted(await database.read(heads.within, 1, 10)) == [5, 6]


async def test_head_is_signed_once_by_many_at_once(database: Database, other: Database) -> None:
    await database.write(leave, [record(number) for number in range(5)])
    await chain.seal_all(database)

    await asyncio.gather(*(heads.sign_end(worker, WITNESS, NOW_MS) for worker in (database, other) * 4))
    assert list(await database.read(heads.within, 1, 10)) == [5]


@pytest.mark.parametrize("change", ["record", "hash", "removed"])
async def test_records_that_were_changed_since_the_last_head_are_not_signed(database: Database, change: str) -> None:
    await database.write(leave, [record(number) for number in range(5)])
    await chain.seal_all(database)
    await heads.sign_end(database, WITNESS, NOW_MS)
    await database.write(leave, [record(number) for number in range(5, 2000)])
    await chain.seal_all(database)

    def spoil(connection: Connection) -> None:
        if change == "removed":
            connection.execute(audit_records.delete().where(audit_records.c.seq == 1500))
        else:
            value = {"record": '{"a":1}', "hash": "0" * 64}[change]
            connection.execute(update(audit_records).where(audit_records.c.seq == 1500).values({change: value}))

    await database.write(spoil)
    with pytest.raises(ChainBroken, match="1500"):
        await heads.sign_end(database, WITNESS, NOW_MS)
    assert list(await database.read(heads.within, 1, 5000)) == [5]
