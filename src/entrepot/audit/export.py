"""A range of the chain as JSON lines that can be verified with nothing but the public key. `verify.py` reads them.

Every line is canonical JSON, told apart by `type`:

    header   format, numbers of the first and the last record, `previous` (the hash before the first), filter, key_id
    record   seq, hash, record
    hidden   seq, record_hash: a record that the filter leaves out, whose place in the chain can still be verified
    head     seq, hash, time, key_id, signature: signed while the registry ran; it comes after the record it signs
    closing  seq, hash, time, count, lines (the SHA-256 of all bytes before this line), key_id, signature

So a line cannot be changed, removed, added or moved: the chain and the heads say which one it was, and the closing line
that there was one.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, func, select

from entrepot.audit import chain, heads, query
from entrepot.audit.hashing import FORMAT, START, canonical, hash_of, time_ms, time_text
from entrepot.audit.query import Filter, Found
from entrepot.audit.signing import key_id, sign
from entrepot.audit.tables import audit_heads, audit_records, audit_segments
from entrepot.audit.witness import Witness
from entrepot.clock import Clock
from entrepot.database.database import Database

RECORDS_AT_A_TIME = 1000

EVERYTHING = Filter()


@dataclass(frozen=True, slots=True)
class Range:
    """Records that follow one another; `previous` is the hash before the first."""

    first: int
    last: int
    previous: str


async def lines(database: Database, witness: Witness, wanted: Filter, clock: Clock) -> AsyncIterator[bytes]:
    """The export of what the database holds, some lines at a time. Seals what is pending first.

    A range of time cuts off what is before and after it; what else the filter leaves out is hidden. What the witness
    knows to have been signed is in the range, and its head among the lines: where the database was set back, whoever
    verifies the export is told. Raises ChainBroken when the witness cannot be read.
    """
    await chain.seal_all(database)
    chosen = await database.read(range_of, wanted, witness.read())
    async for piece in lines_of(database, witness, chosen, wanted, clock):
        yield piece


async def lines_of(
    database: Database, witness: Witness, chosen: Range, wanted: Filter, clock: Clock
) -> AsyncIterator[bytes]:
    """The export of these records."""
    writer, kept = Writer(witness.key, chosen, wanted), witness.read()
    yield writer.header()
    for start in range(chosen.first, chosen.last + 1, RECORDS_AT_A_TIME):
        end = min(chosen.last, start + RECORDS_AT_A_TIME - 1)
        rows, shown, signed = await database.read(_piece, start, end, wanted)
        if kept is not None and start <= kept["seq"] <= end:
            signed[kept["seq"]] = kept
        yield writer.records(rows, shown, signed)
    yield writer.closing(clock())


async def records(database: Database, wanted: Filter) -> AsyncIterator[list[Found]]:
    """What is as wanted, oldest first: for other formats than this one."""
    await chain.seal_all(database)
    chosen = await database.read(range_of, wanted)
    for start in range(chosen.first, chosen.last + 1, RECORDS_AT_A_TIME):
        rows, shown, _ = await database.read(_piece, start, min(chosen.last, start + RECORDS_AT_A_TIME - 1), wanted)
        yield [found for found in rows if found.seq in shown]


def range_of(connection: Connection, wanted: Filter, kept: Mapping[str, Any] | None = None) -> Range:
    """All records that there must be, or those between the first and the last in the filter's range of time.

    What must be there is not asked of the records: one that was removed at either end would not be missed. `kept` is
    the head that was kept outside of the database.
    """
    first, last = _must_be_there(connection)
    last = max(last, kept["seq"] if kept is not None else 0)
    if wanted.from_ms is not None or wanted.to_ms is not None:
        low, high = query.bounds(connection, wanted)
        time_only = Filter(from_ms=wanted.from_ms, to_ms=wanted.to_ms).conditions()
        inside = select(audit_records.c.seq).where(audit_records.c.seq.between(low, high), time_only)
        if wanted.from_ms is not None:
            lowest = connection.execute(inside.order_by(audit_records.c.seq).limit(1)).scalar()
            first = lowest if lowest is not None else last + 1
        if wanted.to_ms is not None:
            highest = connection.execute(inside.order_by(audit_records.c.seq.desc()).limit(1)).scalar()
            last = highest if highest is not None else first - 1
    return Range(first, last, hash_before(connection, first))


def _must_be_there(connection: Connection) -> tuple[int, int]:
    """The first and the last number of all that was sealed or signed, but for what may have left to the archive."""
    archived = connection.execute(select(func.max(audit_segments.c.last_seq))).scalar() or 0
    oldest = query.oldest(connection)
    first = archived + 1 if oldest is None else min(oldest, archived + 1)
    sealed, _ = chain.end(connection)
    signed = heads.last(connection)
    return first, max(sealed, signed.seq if signed is not None else 0, first - 1)


def hash_before(connection: Connection, seq: int) -> str:
    """The hash of the record before this one, which may have left the database: then it was signed."""
    if seq <= 1:
        return START
    for table in (audit_records, audit_heads):
        found: str | None = connection.execute(select(table.c.hash).where(table.c.seq == seq - 1)).scalar()
        if found is not None:
            return found
    return START


class Writer:
    """Makes the lines, and remembers what the closing one states."""

    def __init__(self, key: Ed25519PrivateKey, chosen: Range, wanted: Filter) -> None:
        self._key = key
        self._range = chosen
        self._filter = wanted
        self._digest = sha256()
        self._count = 0
        self._hash = chosen.previous

    def header(self) -> bytes:
        header: dict[str, Any] = {
            "type": "header",
            "format": FORMAT,
            "first": self._range.first,
            "last": self._range.last,
            "previous": self._range.previous,
            "key_id": key_id(self._key.public_key()),
        }
        if self._filter != EVERYTHING:
            header["filter"] = described(self._filter)
        return self._written([canonical(header)])

    def records(self, rows: Iterable[Found], shown: frozenset[int], signed: dict[int, dict[str, Any]]) -> bytes:
        made = []
        for row in rows:
            if row.seq in shown:
                made.append(record_line(row.seq, row.hash, row.record))
                self._count += 1
            else:
                made.append(canonical({"type": "hidden", "seq": row.seq, "record_hash": hash_of(row.record.encode())}))
            self._hash = row.hash
            if row.seq in signed:
                made.append(canonical(signed[row.seq]))
        return self._written(made)

    def closing(self, now_ms: int) -> bytes:
        statement = {
            "type": "closing",
            "seq": self._range.last,
            "hash": self._hash,
            "time": time_text(now_ms),
            "count": self._count,
            "lines": self._digest.hexdigest(),
        }
        return canonical(sign(self._key, statement)) + b"\n"

    def _written(self, made: list[bytes]) -> bytes:
        joined = b"".join(line + b"\n" for line in made)
        self._digest.update(joined)
        return joined


def record_line(seq: int, hash_: str, record: str) -> bytes:
    """As canonical JSON would be, without reading the record again."""
    return b'{"hash":"%b","record":%b,"seq":%d,"type":"record"}' % (hash_.encode(), record.encode(), seq)


def described(wanted: Filter) -> dict[str, Any]:
    """What the filter asks for, with times as text."""
    given: dict[str, Any] = {
        name: getattr(wanted, name)
        for name in ("actor", "action", "resource", "below", "digest", "address", "outcome")
        if getattr(wanted, name)
    }
    for name, at_ms in (("from", wanted.from_ms), ("to", wanted.to_ms)):
        if at_ms is not None:
            given[name] = time_text(at_ms)
    return given


def _piece(
    connection: Connection, first: int, last: int, wanted: Filter
) -> tuple[list[Found], frozenset[int], dict[int, dict[str, Any]]]:
    """Records, the numbers of those that are shown, and the heads among them."""
    numbered = audit_records.c.seq.between(first, last)
    columns = (audit_records.c.seq, audit_records.c.hash, audit_records.c.record)
    chosen = connection.execute(select(*columns).where(numbered).order_by(audit_records.c.seq))
    rows = [Found(row.seq, row.hash, row.record) for row in chosen]
    shown: Iterable[int] = (row.seq for row in rows)
    if wanted.has_content():
        shown = connection.execute(select(audit_records.c.seq).where(numbered, wanted.conditions())).scalars()
    return rows, frozenset(shown), heads.within(connection, first, last)


# ArcSight Common Event Format, version 0.

CEF_SEVERITY = {"done": 3, "failed": 5, "refused": 6}
_HEADER_ESCAPES = str.maketrans({"\\": "\\\\", "|": "\\|", "\r": " ", "\n": " "})
_EXTENSION_ESCAPES = str.maketrans({"\\": "\\\\", "=": "\\=", "\r": "\\r", "\n": "\\n"})


def cef_line(found: Found, version: str) -> str:
    """One record, without a line end."""
    record = orjson.loads(found.record)
    action, outcome = str(record.get("action", "")), str(record.get("outcome", ""))
    header = ("Entrepot", "Entrepot", version, action, action.replace(":", " "), str(CEF_SEVERITY.get(outcome, 5)))
    joined = "|".join(part.translate(_HEADER_ESCAPES) for part in header)
    extension = " ".join(
        f"{key}={str(value).translate(_EXTENSION_ESCAPES)}" for key, value in _cef_fields(found, record)
    )
    return f"CEF:0|{joined}|{extension}"


def _cef_fields(found: Found, record: dict[str, Any]) -> Iterable[tuple[str, object]]:
    address = record.get("address", "")
    simple = (
        ("externalId", found.seq),
        ("rt", time_ms(record["time"]) if "time" in record else None),
        ("suser", record.get("actor")),
        ("act", record.get("action")),
        ("outcome", record.get("outcome")),
        ("reason", record.get("reason")),
        ("requestClientApplication", record.get("user_agent")),
        ("cnt", record.get("count")),
    )
    yield from ((key, value) for key, value in simple if value not in (None, ""))
    if address:
        yield from (("c6a2", address), ("c6a2Label", "Source IPv6 Address")) if ":" in address else (("src", address),)
    labelled = (
        ("resource", record.get("resource")),
        ("digest", record.get("digest")),
        ("requestId", record.get("request_id")),
        ("owner", record.get("owner")),
        ("hash", found.hash),
        ("detail", canonical(record["detail"]).decode() if record.get("detail") else None),
    )
    for number, (label, value) in enumerate(labelled, start=1):
        if value not in (None, ""):
            yield from ((f"cs{number}", value), (f"cs{number}Label", label))
