"""Records are found by any condition, newest first, in pages, by an index."""

from collections.abc import Iterable
from typing import Any

import pytest
from sqlalchemy import Connection, text

from entrepot.audit import chain, query
from entrepot.audit.query import CLOCKS_APART_MS, SCANNED_MAX, Filter
from entrepot.database.database import Database
from tests.conformance.database.audit_records import content, leave, record
from tests.conformance.database.conftest import POSTGRESQL, SQLITE
from tests.conformance.database.content import NOW_MS

pytestmark = pytest.mark.anyio

PUSH, PULL = "manifest:push", "manifest:pull"
RECORDS: list[dict[str, Any]] = [
    record(1),
    record(2, actor="ldap:bob", action=PULL),
    record(3, resource="repository:team/app/sub"),
    record(4, resource="repository:team2/app", address="2001:db8::1"),
    record(5, resource="repository:team", outcome="refused"),
    record(6, resource="user:local:alice", action="user:change", outcome="failed", digest=""),
    record(7, actor="ldap:bob", digest=f"sha256:{1:064x}"),
    record(8, resource="repository:team-a/app", actor="anonymous", action=PULL, outcome="refused"),
]


async def numbers(database: Database, wanted: Filter, *, limit: int = 100) -> list[int]:
    """Of all pages, and that they are in order and have no number twice."""
    found: list[int] = []
    after: int | None = None
    while True:
        page = await database.read(query.find, wanted, after, limit)
        assert len(page.records) <= limit
        found += [each.seq for each in page.records]
        assert found == sorted(set(found), reverse=True)
        if page.after is None:
            return found
        assert after is None or page.after < after
        after = page.after


async def seal(database: Database, records: Iterable[dict[str, Any]]) -> None:
    await database.write(leave, list(records))
    await chain.seal_all(database)


@pytest.mark.parametrize("limit", [1, 3, 8, 100])
@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(), [8, 7, 6, 5, 4, 3, 2, 1]),
        (Filter(actor="ldap:bob"), [7, 2]),
        (Filter(actor="ldap:Bob"), []),
        (Filter(action=PULL), [8, 2]),
        (Filter(resource="repository:team/app"), [7, 2, 1]),
        (Filter(below="team"), [7, 5, 3, 2, 1]),
        (Filter(below="team/app"), [7, 3, 2, 1]),
        (Filter(below="nothing"), []),
        (Filter(digest=f"sha256:{1:064x}"), [7, 1]),
        (Filter(address="2001:db8::1"), [4]),
        (Filter(outcome="refused"), [8, 5]),
        (Filter(outcome="done"), [7, 4, 3, 2, 1]),
        (Filter(outcome="nothing"), []),
        (Filter(actor="ldap:bob", action=PULL), [2]),
        (Filter(below="team", outcome="refused"), [5]),
        (Filter(below="team", actor="ldap:bob", resource="repository:team/app"), [7, 2]),
        (Filter(from_ms=NOW_MS + 3000), [8, 7, 6, 5, 4, 3]),
        (Filter(to_ms=NOW_MS + 3000), [2, 1]),
        (Filter(from_ms=NOW_MS + 3000, to_ms=NOW_MS + 6000, actor="local:alice"), [5, 4, 3]),
        (Filter(from_ms=NOW_MS + 10**9), []),
        (Filter(to_ms=NOW_MS - 10**9), []),
    ],
    ids=str,
)
async def test_records_are_found(database: Database, wanted: Filter, expected: list[int], limit: int) -> None:
    await seal(database, RECORDS)

    assert await numbers(database, wanted, limit=limit) == expected


async def test_record_is_found_whole(database: Database) -> None:
    await seal(database, RECORDS)
    (found,) = (await database.read(query.find, Filter(address="2001:db8::1"), None, 10)).records

    assert content(found) == RECORDS[3]
    assert len(found.hash) == 64


async def test_nothing_is_found_in_an_empty_log(database: Database) -> None:
    for wanted in (Filter(), Filter(actor="local:alice"), Filter(below="team"), Filter(from_ms=NOW_MS)):
        assert await numbers(database, wanted) == []


async def test_record_of_a_clock_that_is_slow_is_found_by_its_time(database: Database) -> None:
    minute_ms = 60_000
    late = [record(0, time="2023-11-14T22:13:20.000Z"), *(record(n) for n in range(3))]
    assert minute_ms < CLOCKS_APART_MS
    await seal(database, [*late[1:], late[0]])

    found = await numbers(database, Filter(to_ms=1_700_000_000_001))
    assert 4 in found


async def test_rare_records_among_many_are_found_page_by_page(database: Database) -> None:
    """A page looks at so many records, and no more: it may be short, and still say where to go on."""
    many = SCANNED_MAX * 2 + 50
    for start in range(0, many, 1000):
        await database.write(
            leave,
            [
                record(n, digest="", action=PULL if n in (7, SCANNED_MAX, many - 1) else PUSH)
                for n in range(start, min(many, start + 1000))
            ],
        )
    await chain.seal_all(database)
    wanted = Filter(actor="local:alice", action=PULL)
    first = await database.read(query.find, wanted, None, 10)

    assert [each.seq for each in first.records] == [many]
    assert first.after is not None
    assert await numbers(database, wanted, limit=10) == [many, SCANNED_MAX + 1, 8]
    below = Filter(below="team", action=PULL)
    assert await numbers(database, below, limit=10) == [many, SCANNED_MAX + 1, 8]


def plan(connection: Connection, wanted: Filter, *, after: int = 50_000) -> str:
    """What the database does to find a page."""
    statement = query.statement(wanted, 1, after, 100)
    compiled = statement.compile(connection, compile_kwargs={"literal_binds": True})
    if connection.dialect.name == "sqlite":
        rows = connection.execute(text(f"EXPLAIN QUERY PLAN {compiled}".replace(":", "\\:")))
        return "\n".join(str(row.detail) for row in rows)
    rows = connection.execute(text(f"EXPLAIN {compiled}".replace(":", "\\:")))
    return "\n".join(row[0] for row in rows)


PLANS = [
    (Filter(actor="local:alice"), "ix_audit_records_actor"),
    (Filter(action=PULL), "ix_audit_records_action"),
    (Filter(resource="repository:team/app"), "ix_audit_records_resource"),
    (Filter(digest="sha256:00"), "ix_audit_records_digest"),
    (Filter(address="192.0.2.9"), "ix_audit_records_address"),
    (Filter(outcome="refused"), "ix_audit_records_outcome"),
    (Filter(actor="local:alice", action=PULL, outcome="done"), "ix_audit_records_actor"),
    (Filter(outcome="refused", below="team"), "ix_audit_records_outcome"),
]


@pytest.mark.parametrize("backend", [SQLITE], indirect=True)
@pytest.mark.parametrize(("wanted", "index"), PLANS, ids=str)
async def test_page_is_found_by_its_index_on_sqlite(database: Database, wanted: Filter, index: str) -> None:
    found = await database.read(plan, wanted)

    assert f"USING INDEX {index}" in found
    assert "SCAN audit_records" not in found


@pytest.mark.parametrize("backend", [SQLITE], indirect=True)
@pytest.mark.parametrize("wanted", [Filter(), Filter(outcome="done"), Filter(from_ms=NOW_MS)], ids=str)
async def test_page_of_what_is_frequent_is_found_by_number_on_sqlite(database: Database, wanted: Filter) -> None:
    found = await database.read(plan, wanted)

    assert "SEARCH audit_records USING INTEGER PRIMARY KEY" in found


@pytest.mark.parametrize("backend", [POSTGRESQL], indirect=True)
async def test_page_is_found_by_an_index_on_postgresql(database: Database) -> None:
    def fill(connection: Connection) -> None:
        connection.execute(
            text(
                "INSERT INTO audit_records"
                " (seq, at_ms, actor, action, resource, digest, address, outcome, record, hash)"
                " SELECT n, n, 'local:user' || n % 400, 'act' || n % 97, 'repository:team/app' || n % 500,"
                " 'sha256\\:' || n, '192.0.2.' || n % 250, CASE WHEN n % 300 = 0 THEN 'refused' ELSE 'done' END,"
                " repeat('x', 300), '' FROM generate_series(1, 40000) AS n"
            )
        )

    await database.write(fill)
    await database.write(lambda connection: connection.execute(text("ANALYZE audit_records")) and None)
    for wanted, index in PLANS:
        found = await database.read(plan, wanted)
        assert "Index Scan" in found or "Bitmap" in found, found
        assert "Seq Scan" not in found, found
        assert index in found or "pk_audit_records" in found, found
    for wanted in (Filter(), Filter(outcome="done"), Filter(from_ms=5)):
        assert "pk_audit_records" in await database.read(plan, wanted)
