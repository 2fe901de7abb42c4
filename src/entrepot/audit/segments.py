"""Retention: closed segments of the chain are archived in the blob store, and only then leave the database.

A segment is an export (`audit/export.py`), packed with gzip. The record after a segment's last one stays verifiable, as
that one's hash is signed and the signed heads are never removed.
"""

import asyncio
import gzip
import io
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, update

from entrepot.audit import heads, query
from entrepot.audit.export import EVERYTHING, Range, hash_before, lines_of
from entrepot.audit.tables import audit_records, audit_segments
from entrepot.audit.verify import verify
from entrepot.audit.witness import Witness
from entrepot.clock import Clock
from entrepot.database.database import Database
from entrepot.database.dialect import execute, insert_or_ignore
from entrepot.errors import Unavailable
from entrepot.storage import layout
from entrepot.storage.store import BlobStore

DAY_MS = 24 * 3600 * 1000
OVERDUE_MS = DAY_MS
"""How long after its time a record waits for its segment to fill; then the segment is closed as it is."""
REMOVED_AT_ONCE = 1000
"""Records removed in one transaction."""
SEGMENTS_AT_ONCE = 20
"""Segments archived in one run."""

_INSERT = insert_or_ignore(audit_segments, "first_seq", returning=(audit_segments.c.first_seq,))


class SegmentDamaged(Unavailable):
    """What was archived is not what was to be."""

    code = "segment_damaged"


@dataclass(frozen=True, slots=True)
class Segment:
    """An archived segment: where it is, and what its bytes must be."""

    first_seq: int
    last_seq: int
    last_at_ms: int
    location: str
    size: int
    sha256: str


async def archive(
    database: Database,
    store: BlobStore,
    witness: Witness,
    clock: Clock,
    *,
    segment_records: int,
    retention_days: int,
) -> int:
    """Archive what is due; answers how many segments that were. Any number of processes may do this at once.

    Raises SegmentDamaged when what is read back cannot be verified: nothing is recorded then, and nothing removed.
    """
    for count in range(SEGMENTS_AT_ONCE):
        overdue_ms = clock() - retention_days * DAY_MS - OVERDUE_MS
        due = await database.read(_due, segment_records, overdue_ms)
        if due is None:
            return count
        await _archive(database, store, witness, clock, due)
    return SEGMENTS_AT_ONCE


async def remove(database: Database, store: BlobStore, *, older_than_ms: int, until: int | None) -> int:
    """Remove the records of archived segments in which all are older; answers how many records that were.

    `until` is the number of the last record that may go; None: no matter which. Each segment is read once more before.
    Raises SegmentDamaged.
    """
    removed = 0
    for segment in await database.read(listing):
        if segment.removed or segment.last_at_ms >= older_than_ms:
            continue
        if until is not None and segment.last_seq > until:
            break
        await _read_back(store, _of(segment))
        for first in range(segment.first_seq, segment.last_seq + 1, REMOVED_AT_ONCE):
            last = min(segment.last_seq, first + REMOVED_AT_ONCE - 1)
            removed += await database.write(_remove, first, last, durable=False)
        await database.write(_removed, segment.first_seq)
    return removed


def listing(connection: Connection) -> list[Row[Any]]:
    """All segments, oldest first."""
    return list(connection.execute(select(audit_segments).order_by(audit_segments.c.first_seq)))


async def content(store: BlobStore, segment: Row[Any]) -> bytes:
    """A segment's JSON lines. Raises SegmentDamaged."""
    return await asyncio.to_thread(gzip.decompress, await _read_back(store, _of(segment)))


@dataclass(frozen=True, slots=True)
class _Due:
    range: Range
    last_at_ms: int


def _due(connection: Connection, segment_records: int, overdue_ms: int) -> _Due | None:
    """The next segment: full, or of all records that are overdue."""
    archived = connection.execute(select(func.max(audit_segments.c.last_seq))).scalar()
    first = archived + 1 if archived is not None else query.oldest(connection)
    if first is None:
        return None
    last = first + segment_records - 1
    numbered = audit_records.c.seq.between(first, last)
    newest = connection.execute(select(func.max(audit_records.c.seq)).where(numbered)).scalar()
    if newest is None:
        return None
    if newest < last:
        overdue = select(audit_records.c.at_ms).where(audit_records.c.seq == first)
        oldest_at_ms = connection.execute(overdue).scalar()
        if oldest_at_ms is None or oldest_at_ms >= overdue_ms:
            return None
        fresh = select(func.min(audit_records.c.seq)).where(numbered, audit_records.c.at_ms >= overdue_ms + OVERDUE_MS)
        until = connection.execute(fresh).scalar()
        last = until - 1 if until is not None else newest
    numbered = audit_records.c.seq.between(first, last)
    last_at_ms = connection.execute(select(func.max(audit_records.c.at_ms)).where(numbered)).scalar()
    return _Due(Range(first, last, hash_before(connection, first)), last_at_ms or 0)


async def _archive(database: Database, store: BlobStore, witness: Witness, clock: Clock, due: _Due) -> None:
    chosen = due.range
    await heads.sign_until(database, witness, chosen.last, clock())
    # In memory, and once more when it is read back: some 8 MB packed for 100,000 records.
    target = io.BytesIO()
    with gzip.GzipFile(fileobj=target, mode="wb", mtime=0) as lines:
        async for piece in lines_of(database, witness, chosen, EVERYTHING, clock):
            await asyncio.to_thread(lines.write, piece)
    packed = target.getvalue()
    location = layout.audit_segment(chosen.first, chosen.last, layout.new_part())
    segment = Segment(chosen.first, chosen.last, due.last_at_ms, location, len(packed), sha256(packed).hexdigest())
    await store.put(location, packed)
    stored = await _read_back(store, segment)
    report = await asyncio.to_thread(
        lambda: verify(gzip.GzipFile(fileobj=io.BytesIO(stored)), witness.key.public_key())
    )
    if not report.whole or (report.first, report.last) != (chosen.first, chosen.last):
        reason = report.problems[0].message if report.problems else "it is another range"
        await store.delete(location)
        raise SegmentDamaged(f"records {chosen.first} to {chosen.last} of the audit log are not archived: {reason}")
    if not await database.write(_record, segment, clock()):
        await store.delete(location)  # Another process was faster.


async def _read_back(store: BlobStore, segment: Segment) -> bytes:
    stored = await store.get(segment.location)
    if stored is None or len(stored) != segment.size or sha256(stored).hexdigest() != segment.sha256:
        raise SegmentDamaged(
            f"the archived records {segment.first_seq} to {segment.last_seq} of the audit log, at {segment.location}, "
            "are missing or damaged: restore them from a backup"
        )
    return stored


def _record(connection: Connection, segment: Segment, now_ms: int) -> bool:
    values = {
        "first_seq": segment.first_seq,
        "last_seq": segment.last_seq,
        "last_at_ms": segment.last_at_ms,
        "location": segment.location,
        "size": segment.size,
        "sha256": segment.sha256,
        "removed": False,
        "archived_at_ms": now_ms,
    }
    return execute(connection, _INSERT, values).one_or_none() is not None


def _of(row: Row[Any]) -> Segment:
    return Segment(row.first_seq, row.last_seq, row.last_at_ms, row.location, row.size, row.sha256)


def _remove(connection: Connection, first: int, last: int) -> int:
    return connection.execute(delete(audit_records).where(audit_records.c.seq.between(first, last))).rowcount


def _removed(connection: Connection, first_seq: int) -> None:
    connection.execute(update(audit_segments).where(audit_segments.c.first_seq == first_seq).values(removed=True))
