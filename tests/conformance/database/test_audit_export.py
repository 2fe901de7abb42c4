"""What the database holds is exported, archived and removed so that it can be verified at any time."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from sqlalchemy import Connection, select, update

from entrepot.audit import chain, export, heads, query, segments
from entrepot.audit.export import CEF_SEVERITY, cef_line
from entrepot.audit.query import Filter
from entrepot.audit.segments import DAY_MS, SegmentDamaged
from entrepot.audit.tables import audit_records, audit_segments
from entrepot.audit.verify import Report, verify, verify_files
from entrepot.database.database import Database
from entrepot.lifecycle import garbage, store_identity
from entrepot.settings import StorageSettings
from entrepot.storage.open import open_store
from entrepot.storage.store import BlobStore
from tests.conformance.database.audit_records import WITNESS, leave, record
from tests.conformance.database.content import NOW_MS
from tests.unit.audit.chains import KEY

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("in_own_directory")]

PUBLIC = KEY.public_key()
SEGMENT_RECORDS = 10


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[BlobStore]:
    opened = open_store(StorageSettings(), tmp_path, lambda damaged: None)
    yield opened
    await opened.close()


def clock() -> int:
    return NOW_MS


async def fill(database: Database, count: int, *, first: int = 0) -> None:
    for start in range(first, first + count, 1000):
        end = min(first + count, start + 1000)
        await database.write(leave, [record(n, actor=f"local:user{n % 3}") for n in range(start, end)])
    await chain.seal_all(database)


async def exported(database: Database, wanted: Filter = export.EVERYTHING) -> bytes:
    return b"".join([piece async for piece in export.lines(database, WITNESS, wanted, clock)])


def verified(content: bytes) -> Report:
    report = verify(content.splitlines(keepends=True), PUBLIC)
    assert report.whole, report.problems
    return report


async def test_export_of_everything_is_whole(database: Database) -> None:
    await fill(database, 1500)
    await heads.sign_end(database, WITNESS, NOW_MS)
    await fill(database, 1000, first=1500)
    report = verified(await exported(database))

    assert (report.first, report.last, report.records, report.hidden, report.heads) == (1, 2500, 2500, 0, 1)


async def test_export_has_what_is_pending(database: Database) -> None:
    await database.write(leave, [record(1)])

    assert verified(await exported(database)).records == 1


async def test_export_of_an_empty_log_is_whole(database: Database) -> None:
    assert verified(await exported(database)).records == 0


async def test_export_of_a_user_hides_the_others(database: Database) -> None:
    await fill(database, 30)
    await heads.sign_end(database, WITNESS, NOW_MS)
    content = await exported(database, Filter(actor="local:user1"))
    report = verified(content)

    assert (report.records, report.hidden, report.heads) == (10, 20, 1)
    assert b"local:user1" in content
    assert b"local:user2" not in content


async def test_export_of_a_range_of_time_has_what_is_in_it(database: Database) -> None:
    await fill(database, 30)
    report = verified(await exported(database, Filter(from_ms=NOW_MS + 10_000, to_ms=NOW_MS + 20_000)))

    assert (report.first, report.last, report.records) == (11, 20, 10)


async def test_export_of_a_time_without_records_is_whole(database: Database) -> None:
    await fill(database, 3)
    for wanted in (Filter(from_ms=NOW_MS + 10**9), Filter(to_ms=NOW_MS - 10**9)):
        assert verified(await exported(database, wanted)).records == 0


async def test_record_changed_in_the_database_is_named_by_its_export(database: Database) -> None:
    await fill(database, 30)
    await heads.sign_end(database, WITNESS, NOW_MS)

    def tamper(connection: Connection) -> None:
        (text,) = connection.execute(select(audit_records.c.record).where(audit_records.c.seq == 7)).one()
        changed = orjson.dumps({**orjson.loads(text), "actor": "local:nobody"}, option=orjson.OPT_SORT_KEYS).decode()
        connection.execute(update(audit_records).where(audit_records.c.seq == 7).values(record=changed))

    await database.write(tamper)
    problems = verify((await exported(database)).splitlines(keepends=True), PUBLIC).problems
    assert problems[0].message == "record 7 was changed, or its hash was"


async def test_record_removed_from_the_database_is_named_by_its_export(database: Database) -> None:
    await fill(database, 30)
    await database.write(
        lambda connection: connection.execute(audit_records.delete().where(audit_records.c.seq == 7)) and None
    )
    problems = verify((await exported(database)).splitlines(keepends=True), PUBLIC).problems

    assert problems[0].message == "record 7 is missing before record 8: removed or moved"


async def test_oldest_records_removed_from_the_database_are_noticed(database: Database) -> None:
    await fill(database, 30)
    await database.write(
        lambda connection: connection.execute(audit_records.delete().where(audit_records.c.seq <= 4)) and None
    )
    problems = verify((await exported(database)).splitlines(keepends=True), PUBLIC).problems

    assert problems[0].message == "records 1 to 4 are missing before record 5: removed or moved"


async def test_newest_records_removed_from_the_database_are_noticed(database: Database) -> None:
    """The chain's end and the signed heads say that there were more."""
    await fill(database, 30)
    await heads.sign_end(database, WITNESS, NOW_MS)
    await database.write(
        lambda connection: connection.execute(audit_records.delete().where(audit_records.c.seq > 25)) and None
    )
    problems = verify((await exported(database)).splitlines(keepends=True), PUBLIC).problems

    assert problems
    assert problems[0].message == "records 26 to 30 are missing before record 31: removed or moved"


async def test_records_for_other_formats_are_those_of_the_filter(database: Database) -> None:
    await fill(database, 30)
    found = [each async for page in export.records(database, Filter(actor="local:user1")) for each in page]

    assert [each.seq for each in found] == list(range(2, 31, 3))
    assert all(cef_line(each, "1.0").startswith("CEF:0|Entrepot|Entrepot|1.0|manifest:push|") for each in found)
    assert CEF_SEVERITY["done"] < CEF_SEVERITY["refused"]


# Segments.


async def archive(database: Database, store: BlobStore, *, now_ms: int = NOW_MS, days: int = 30) -> int:
    return await segments.archive(
        database, store, WITNESS, lambda: now_ms, segment_records=SEGMENT_RECORDS, retention_days=days
    )


async def listed(database: Database) -> list[tuple[int, int, bool]]:
    return [(row.first_seq, row.last_seq, row.removed) for row in await database.read(segments.listing)]


async def left(database: Database) -> list[int]:
    def numbers(connection: Connection) -> list[int]:
        return list(connection.execute(select(audit_records.c.seq).order_by(audit_records.c.seq)).scalars())

    return await database.read(numbers)


async def files(database: Database, store: BlobStore, folder: Path) -> list[Path]:
    paths = []
    for row in await database.read(segments.listing):
        paths.append(folder / Path(row.location).name)
        content = await store.get(row.location)
        assert content is not None
        paths[-1].write_bytes(content)
    return paths


async def test_full_segments_are_archived_once(database: Database, store: BlobStore, tmp_path: Path) -> None:
    await fill(database, 35)

    assert await archive(database, store) == 3
    assert await archive(database, store) == 0
    assert await listed(database) == [(1, 10, False), (11, 20, False), (21, 30, False)]
    assert len(await left(database)) == 35
    reports = [report for _, report in verify_files(await files(database, store, tmp_path), PUBLIC)]
    assert [report.whole for report in reports] == [True] * 3, reports
    assert [report.heads for report in reports] == [1, 1, 1]


async def test_archived_records_leave_when_they_are_old(database: Database, store: BlobStore, tmp_path: Path) -> None:
    await fill(database, 35)
    await archive(database, store)
    before = await exported(database)

    assert await segments.remove(database, store, older_than_ms=NOW_MS + 15_000, until=None) == 10
    assert await segments.remove(database, store, older_than_ms=NOW_MS + 15_000, until=None) == 0
    assert await left(database) == list(range(11, 36))
    assert await listed(database) == [(1, 10, True), (11, 20, False), (21, 30, False)]
    assert verified(before).hash == verified(await exported(database)).hash

    (tmp_path / "rest.jsonl").write_bytes(await exported(database))
    first, *_ = await files(database, store, tmp_path)
    reports = [report for _, report in verify_files([first, tmp_path / "rest.jsonl"], PUBLIC)]
    assert all(report.whole for report in reports), reports
    page = await database.read(query.find, Filter(), None, 100)
    assert [found.seq for found in page.records] == list(range(35, 10, -1))


async def test_records_that_a_target_has_not_got_stay(database: Database, store: BlobStore) -> None:
    await fill(database, 35)
    await archive(database, store)

    assert await segments.remove(database, store, older_than_ms=NOW_MS + 10**12, until=0) == 0
    assert await segments.remove(database, store, older_than_ms=NOW_MS + 10**12, until=19) == 10
    assert await left(database) == list(range(11, 36))
    assert await segments.remove(database, store, older_than_ms=NOW_MS + 10**12, until=20) == 10


async def test_records_that_are_not_archived_never_leave(database: Database, store: BlobStore) -> None:
    await fill(database, 35)

    assert await segments.remove(database, store, older_than_ms=NOW_MS + 10**12, until=None) == 0
    assert len(await left(database)) == 35


async def test_records_go_on_when_all_before_them_have_left(database: Database, store: BlobStore) -> None:
    await fill(database, 30)
    await archive(database, store)
    await segments.remove(database, store, older_than_ms=NOW_MS + 10**9, until=None)
    assert await left(database) == []
    assert verified(await exported(database)).records == 0

    await fill(database, 15, first=30)
    assert await heads.sign_end(database, WITNESS, NOW_MS)
    assert await archive(database, store) == 1
    report = verified(await exported(database))
    assert (report.first, report.last) == (31, 45)


async def test_segment_that_does_not_fill_is_closed_when_it_is_overdue(database: Database, store: BlobStore) -> None:
    await fill(database, 5)
    assert await archive(database, store, now_ms=NOW_MS + 30 * DAY_MS) == 0

    assert await archive(database, store, now_ms=NOW_MS + 31 * DAY_MS + 60_000) == 1
    assert await listed(database) == [(1, 5, False)]


@pytest.mark.parametrize("harm", ["removed", "cut", "changed"])
async def test_records_stay_when_their_segment_is_damaged(database: Database, store: BlobStore, harm: str) -> None:
    await fill(database, 10)
    await archive(database, store)
    (row,) = await database.read(segments.listing)
    content = await store.get(row.location)
    assert content is not None
    await store.delete(row.location)
    if harm != "removed":
        spoilt = content[:-1] if harm == "cut" else content[:100] + bytes([content[100] ^ 1]) + content[101:]
        await store.put(row.location, spoilt)

    with pytest.raises(SegmentDamaged):
        await segments.remove(database, store, older_than_ms=NOW_MS + 10**9, until=None)
    assert len(await left(database)) == 10


async def test_segment_of_changed_records_is_not_archived(database: Database, store: BlobStore, tmp_path: Path) -> None:
    await fill(database, 10)
    await heads.sign_end(database, WITNESS, NOW_MS)
    await database.write(
        lambda connection: (
            connection.execute(update(audit_records).where(audit_records.c.seq == 7).values(record='{"a":1}')) and None
        )
    )

    with pytest.raises(SegmentDamaged, match="record 7 was changed"):
        await archive(database, store)
    assert await listed(database) == []
    assert list((tmp_path / "storage" / "audit").iterdir()) == []


async def test_segments_archived_by_many_at_once_are_stored_once(
    database: Database, other: Database, store: BlobStore, tmp_path: Path
) -> None:
    await fill(database, 35)
    await asyncio.gather(*(archive(worker, store) for worker in (database, other, database)))

    assert await listed(database) == [(1, 10, False), (11, 20, False), (21, 30, False)]
    assert len(list((tmp_path / "storage" / "audit").iterdir())) == 3


async def test_collection_of_garbage_leaves_segments(database: Database, store: BlobStore) -> None:
    await fill(database, 10)
    await archive(database, store)

    await store_identity.adopt(database, store)
    for number in range(3):
        found = await garbage.collect(database, store, garbage.Terms(2**62 + number, 0, 0))
        assert (found.listed, found.removed) == (0, 0)
    (row,) = await database.read(segments.listing)
    content = await segments.content(store, row)
    assert gzip.compress(content)
    verified(content)


async def test_removal_that_was_interrupted_goes_on(database: Database, store: BlobStore) -> None:
    await fill(database, 10)
    await archive(database, store)
    await database.write(
        lambda connection: connection.execute(audit_records.delete().where(audit_records.c.seq <= 4)) and None
    )

    assert await segments.remove(database, store, older_than_ms=NOW_MS + 10**9, until=None) == 6
    assert await database.read(lambda connection: connection.execute(select(audit_segments.c.removed)).scalar())
