"""Records to be sealed, as requests leave them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, insert, select

from entrepot.audit.chain import SALT_BYTES
from entrepot.audit.hashing import time_text
from entrepot.audit.query import Found
from entrepot.audit.tables import audit_pending, audit_records
from entrepot.audit.witness import Witness
from tests.conformance.database.content import NOW_MS
from tests.unit.audit.chains import KEY

WITNESS = Witness(Path("audit.head"), KEY)
"""In the directory of the test."""


def record(number: int, **changes: Any) -> dict[str, Any]:
    made = {
        "time": time_text(NOW_MS + number * 1000),
        "actor": "local:alice",
        "address": "192.0.2.7",
        "action": "manifest:push",
        "resource": "repository:team/app",
        "digest": f"sha256:{number:064x}",
        "outcome": "done",
    }
    return {**made, **changes}


def leave(connection: Connection, records: Iterable[dict[str, Any] | str]) -> None:
    """Part of the transaction of what is recorded."""
    rows = [{"record": each if isinstance(each, str) else orjson.dumps(each).decode()} for each in records]
    connection.execute(insert(audit_pending), rows)


def stored(connection: Connection) -> list[Found]:
    rows = connection.execute(select(audit_records).order_by(audit_records.c.seq))
    return [Found(row.seq, row.hash, row.record) for row in rows]


def content(found: Found) -> dict[str, Any]:
    """The record as it was left."""
    read: dict[str, Any] = orjson.loads(found.record)
    assert len(read.pop("salt")) == 2 * SALT_BYTES
    return read
