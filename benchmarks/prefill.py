"""Fills Entrepot's database without asking the server."""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, delete, insert

from benchmarks.content import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE
from entrepot.audit.hashing import START, canonical, hash_of, link, time_text
from entrepot.audit.tables import audit_chain, audit_records
from entrepot.content import tables

DATABASE_FILE = "entrepot.db"
MANIFESTS_PER_REPOSITORY = 1_000
AUDIT_BATCH_RECORDS = 20_000
AUDIT_RECORDS_PER_SECOND = 20
FIRST_ID = 1_000_000
SHARED_LAYER = "sha256:" + sha256(b"layer").hexdigest()
PAYLOAD = (
    '{{"schemaVersion":2,"mediaType":"' + MANIFEST_TYPE + '",'
    '"config":{{"mediaType":"' + CONFIG_TYPE + '","digest":"{config}","size":1000}},'
    '"layers":[{{"mediaType":"' + LAYER_TYPE + '","digest":"' + SHARED_LAYER + '","size":4096}}]}}'
)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """One manifest to be: its number, configuration and text."""

    id: int
    config_digest: str
    payload: bytes


def prefill(data_directory: Path, manifests: int) -> None:
    """Add tagged manifests to the database of a data directory, whose server is down.

    Each has a configuration of its own and a layer all share; 1,000 make a repository. The blobs have no files.
    """
    engine = create_engine(f"sqlite:///{data_directory / DATABASE_FILE}")
    with engine.connect() as connection:
        for pragma in ("synchronous = OFF", "cache_size = -2000000"):
            connection.exec_driver_sql(f"PRAGMA {pragma}")
        connection.execute(insert(tables.blobs), [_blob(FIRST_ID - 1, SHARED_LAYER, 4096)])
        for first in range(FIRST_ID, FIRST_ID + manifests, MANIFESTS_PER_REPOSITORY):
            last = min(first + MANIFESTS_PER_REPOSITORY, FIRST_ID + manifests)
            _add_repository(connection, list(_entries(first, last)))
            connection.commit()
    engine.dispose()


def _entries(first: int, last: int) -> Iterator[Entry]:
    for number in range(first, last):
        config_digest = "sha256:" + sha256(b"%d" % number).hexdigest()
        yield Entry(number, config_digest, PAYLOAD.format(config=config_digest).encode())


def _add_repository(connection: Connection, entries: list[Entry]) -> None:
    repository_id, now_ms = entries[0].id, time.time_ns() // 1_000_000
    here: Row = {"repository_id": repository_id}
    row: Row = {"id": repository_id, "name": f"prefilled/{repository_id}", "created_at_ms": now_ms}
    connection.execute(insert(tables.repositories), [row])
    usage = {"tags": len(entries), "manifests": len(entries), "bytes": 4096 + 1_000 * len(entries)}
    connection.execute(insert(tables.repository_usage), [here | usage])
    connection.execute(insert(tables.blobs), [_blob(entry.id, entry.config_digest, 1_000) for entry in entries])
    linked = [FIRST_ID - 1, *(entry.id for entry in entries)]
    links = [here | {"blob_id": blob_id, "used_at_ms": now_ms} for blob_id in linked]
    connection.execute(insert(tables.repository_blobs), links)
    connection.execute(insert(tables.manifests), [here | _manifest(entry, now_ms) for entry in entries])
    contents = [{"manifest_id": entry.id, "payload": entry.payload} for entry in entries]
    connection.execute(insert(tables.manifest_contents), contents)
    edges = [
        here | {"manifest_id": entry.id, "position": position, "blob_id": blob_id, "kind": kind}
        for entry in entries
        for position, (kind, blob_id) in enumerate((("config", entry.id), ("layer", FIRST_ID - 1)))
    ]
    connection.execute(insert(tables.edges), edges)
    connection.execute(insert(tables.tags), [here | _tag(entry, now_ms) for entry in entries])


def _blob(blob_id: int, digest: str, size_bytes: int) -> Row:
    return {"id": blob_id, "digest": digest, "size": size_bytes, "location": f"prefilled-{blob_id}", "created_at_ms": 0}


def _manifest(entry: Entry, now_ms: int) -> Row:
    return {
        "id": entry.id,
        "digest": "sha256:" + sha256(entry.payload).hexdigest(),
        "media_type": MANIFEST_TYPE,
        "size": len(entry.payload),
        "pushed_by": "admin",
        "pushed_at_ms": now_ms,
    }


def _tag(entry: Entry, now_ms: int) -> Row:
    return {
        "name": f"v{entry.id}",
        "manifest_id": entry.id,
        "hidden": False,
        "updated_by": "admin",
        "updated_at_ms": now_ms,
    }


def prefill_audit(data_directory: Path, records: int) -> None:
    """Add sealed audit records to the database of a data directory, whose server is down, as the last ones before now.

    Nine of ten are pulls; 2,000 users, 500 repositories of which a few get most, one refusal in a thousand.
    """
    engine = create_engine(f"sqlite:///{data_directory / DATABASE_FILE}")
    first_at_ms = time.time_ns() // 1_000_000 - records * 1000 // AUDIT_RECORDS_PER_SECOND
    random.seed(1)
    with engine.connect() as connection:
        for pragma in ("synchronous = OFF", "cache_size = -1000000"):
            connection.exec_driver_sql(f"PRAGMA {pragma}")
        seq, previous = 0, START
        connection.execute(delete(audit_records))
        connection.execute(delete(audit_chain))
        while seq < records:
            rows: list[Row] = []
            for _ in range(min(AUDIT_BATCH_RECORDS, records - seq)):
                seq += 1
                row = _audit_row(seq, first_at_ms + seq * 1000 // AUDIT_RECORDS_PER_SECOND)
                previous = link(previous, hash_of(row["record"].encode()), seq)
                rows.append({**row, "hash": previous})
            connection.execute(insert(audit_records), rows)
            connection.commit()
        connection.execute(insert(audit_chain), [{"id": 1, "seq": seq, "hash": previous}])
        connection.commit()
    engine.dispose()


def _audit_row(seq: int, at_ms: int) -> Row:
    searched = {
        "actor": f"ldap:user{int(2_000 * random.random() ** 2)}",
        "action": "manifest:pull" if random.random() < 0.9 else "manifest:push",
        "resource": f"repository:team{int(50 * random.random() ** 3)}/app{random.randrange(10)}",
        "digest": "sha256:" + sha256(b"%d" % random.randrange(20_000)).hexdigest(),
        "address": f"10.0.{random.randrange(8)}.{random.randrange(250)}",
        "outcome": "refused" if random.random() < 0.001 else "done",
    }
    rest = {"time": time_text(at_ms), "request_id": f"{seq:032x}", "user_agent": "docker/27.1 os/linux arch/amd64"}
    return {"seq": seq, "at_ms": at_ms, **searched, "record": canonical({**searched, **rest}).decode()}
