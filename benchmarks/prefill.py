"""Fills Entrepot's database without asking the server."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, insert

from benchmarks.content import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE
from entrepot.content import tables

DATABASE_FILE = "entrepot.db"
MANIFESTS_PER_REPOSITORY = 1_000
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
    connection.execute(insert(tables.blobs), [_blob(entry.id, entry.config_digest, 1_000) for entry in entries])
    linked = [FIRST_ID - 1, *(entry.id for entry in entries)]
    links = [here | {"blob_id": blob_id, "linked_at_ms": now_ms} for blob_id in linked]
    connection.execute(insert(tables.repository_blobs), links)
    connection.execute(insert(tables.manifests), [here | _manifest(entry, now_ms) for entry in entries])
    edges = [
        here | {"manifest_id": entry.id, "blob_id": blob_id}
        for entry in entries
        for blob_id in (FIRST_ID - 1, entry.id)
    ]
    connection.execute(insert(tables.manifest_blobs), edges)
    connection.execute(insert(tables.tags), [here | _tag(entry, now_ms) for entry in entries])


def _blob(blob_id: int, digest: str, size_bytes: int) -> Row:
    return {"id": blob_id, "digest": digest, "size": size_bytes, "location": f"prefilled-{blob_id}", "created_at_ms": 0}


def _manifest(entry: Entry, now_ms: int) -> Row:
    return {
        "id": entry.id,
        "digest": "sha256:" + sha256(entry.payload).hexdigest(),
        "media_type": MANIFEST_TYPE,
        "payload": entry.payload,
        "pushed_by": "admin",
        "pushed_at_ms": now_ms,
    }


def _tag(entry: Entry, now_ms: int) -> Row:
    return {"name": f"v{entry.id}", "manifest_id": entry.id, "hidden": False, "updated_at_ms": now_ms}
