"""Puts pending records into the chain. See `audit/hashing.py` for what the chain is."""

from collections.abc import Sequence
from os import urandom
from typing import Any

import orjson
from sqlalchemy import Connection, String, delete, select, update

from entrepot.audit.actions import Action
from entrepot.audit.hashing import START, canonical, hash_of, link, time_ms
from entrepot.audit.tables import audit_chain, audit_pending, audit_records
from entrepot.database.database import Database
from entrepot.database.dialect import execute, insert_or_ignore
from entrepot.database.statements import Statement

SEAL_RECORDS_MAX = 500
"""Records in one transaction: other writers wait for some 10 ms."""
BATCHES_MAX = 200
"""Transactions in one go, so that records that come faster than they are sealed do not keep the caller for good."""
CHAIN_ID = 1
SALT_BYTES = 12

_START = insert_or_ignore(audit_chain, "id")
_END = select(audit_chain.c.seq, audit_chain.c.hash).where(audit_chain.c.id == CHAIN_ID)
_LOCK = _END.with_for_update()
_PENDING = Statement(select(audit_pending.c.id).limit(1))
_SEARCHED = tuple(
    (column.name, column.type.length or 0)
    for column in audit_records.c
    if isinstance(column.type, String) and column.name not in {"record", "hash"}
)
_COLUMNS = ("seq", "at_ms", "record", "hash", *(name for name, _ in _SEARCHED))


async def seal_all(database: Database) -> int:
    """Seal what is pending now; answers how much that was. Whoever reads the records calls this first."""
    sealed = 0
    for _ in range(BATCHES_MAX):
        if not await database.look_up(is_pending):
            break
        count = await database.write(seal, SEAL_RECORDS_MAX)
        sealed += count
        if count < SEAL_RECORDS_MAX:
            break
    return sealed


def is_pending(connection: Connection) -> bool:
    """Whether there is anything to seal."""
    return _PENDING.one(connection) is not None


def end(connection: Connection) -> tuple[int, str]:
    """Number and hash of the newest record in the chain; 0 and START when there is none."""
    row = connection.execute(_END).one_or_none()
    return (row.seq, row.hash) if row is not None else (0, START)


def seal(connection: Connection, limit: int) -> int:
    """Move the oldest pending records into the chain; answers how many. Any number of processes may call this at once.

    On PostgreSQL a transaction that takes longer may bring an older id when newer ones are sealed already: it then
    comes after them. What is sealed is always removed by its id, so nothing is left out.
    """
    previous = _lock(connection)
    oldest = select(audit_pending.c.id).order_by(audit_pending.c.id).limit(limit).scalar_subquery()
    taken = connection.execute(
        delete(audit_pending)
        .where(audit_pending.c.id.in_(oldest))
        .returning(audit_pending.c.id, audit_pending.c.record)
    ).all()
    if not taken:
        return 0
    rows = _chained(*previous, [text for _, text in sorted(taken, key=lambda row: row.id)])
    # Past SQLAlchemy, which takes as long to arrange a row's values as SQLite to insert it.
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    marks = ", ".join(mark for _ in _COLUMNS)
    connection.exec_driver_sql(f"INSERT INTO audit_records ({', '.join(_COLUMNS)}) VALUES ({marks})", rows)  # noqa: S608
    seq, _, _, newest, *_ = rows[-1]
    connection.execute(update(audit_chain).where(audit_chain.c.id == CHAIN_ID).values(seq=seq, hash=newest))
    return len(rows)


def _lock(connection: Connection) -> tuple[int, str]:
    """The chain's end, which nobody else moves before this transaction is over."""
    row = connection.execute(_LOCK).one_or_none()
    if row is None:
        execute(connection, _START, {"id": CHAIN_ID, "seq": 0, "hash": START})
        row = connection.execute(_LOCK).one()
    return row.seq, row.hash


def _chained(seq: int, previous: str, texts: Sequence[str]) -> list[tuple[Any, ...]]:
    """Rows as _COLUMNS has them. Each record is given a salt: an export may hide it and show its hash, by which nobody
    shall be able to try what it may have been."""
    rows = []
    salts = urandom(SALT_BYTES * len(texts)).hex()
    for position, text in enumerate(texts):
        seq += 1
        record, at_ms = _parsed(text)
        record["salt"] = salts[position * 2 * SALT_BYTES : (position + 1) * 2 * SALT_BYTES]
        stored = canonical(record)
        previous = link(previous, hash_of(stored), seq)
        searched = [_searched(record.get(name), characters_max) for name, characters_max in _SEARCHED]
        rows.append((seq, at_ms, stored.decode(), previous, *searched))
    return rows


def _parsed(text: str) -> tuple[dict[str, Any], int]:
    """The record and its time. Text that is none is kept in a record that says so: nothing may stop the chain."""
    try:
        record = orjson.loads(text)
        return record, time_ms(record["time"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return {"action": Action.AUDIT_UNREADABLE, "detail": {"text": text}, "outcome": "failed"}, 0


def _searched(value: object, characters_max: int) -> str:
    """What is searched by; the record itself is never shortened."""
    if not isinstance(value, str):
        return ""
    return value[:characters_max].replace("\0", "")
