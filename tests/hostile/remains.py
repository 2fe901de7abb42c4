"""What a server keeps: the files of its store, and the rows of its database."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TABLES = {
    "repositories": "name",
    "repository_usage": "repository_id, tags, manifests, bytes",
    "blobs": "digest, size, location",
    "blob_contents": "blob_id, length(content)",
    "repository_blobs": "repository_id, blob_id",
    "manifests": "repository_id, digest, media_type, size",
    "manifest_contents": "manifest_id, length(payload)",
    "edges": "manifest_id, position, kind, blob_id, digest",
    "tags": "repository_id, name, manifest_id",
    "uploads": "id, owner, offset, parts, cancelled",
}

SETTLED_NS = 1_000_000_000
"""How long ago a folder has changed when its time tells whether it has changed again."""
_seen: dict[tuple[Path, str], tuple[int, frozenset[tuple[str, int]]]] = {}


@dataclass(frozen=True)
class Remains:
    """Compares equal when nothing was added, removed or changed."""

    files: frozenset[tuple[str, int]]
    rows: dict[str, frozenset[tuple[object, ...]]]


def remains(data: Path) -> Remains:
    """Everything in the data directory that a request can have left there."""
    with closing(sqlite3.connect(data / "entrepot.db")) as database:
        rows = {
            table: frozenset(database.execute(f"SELECT {columns} FROM {table}")) for table, columns in TABLES.items()
        }
        return Remains(frozenset(_files(data / "storage")), rows)


def upload_files(data: Path) -> list[str]:
    """The files of unfinished uploads."""
    names = [path.name for path in (data / "storage" / "uploads").iterdir()]
    return sorted(names)


def open_uploads(data: Path) -> int:
    """How many uploads have bytes and were not finished or cancelled."""
    with closing(sqlite3.connect(data / "entrepot.db")) as database:
        (count,) = database.execute("SELECT count(*) FROM uploads WHERE NOT cancelled").fetchone()
        return int(count)


def _files(root: Path) -> Iterator[tuple[str, int]]:
    for folder in ("uploads", *_blob_folders(root)):
        yield from _entries(root, folder)


@cache
def _blob_folders(root: Path) -> list[str]:
    """There from the beginning, and never more."""
    return [str(path.relative_to(root)) for path in root.glob("blobs/*/*")]


def _entries(root: Path, folder: str) -> frozenset[tuple[str, int]]:
    """The folder's files, looked at again when it has changed: nothing in it is ever written to, but in uploads."""
    changed_ns = os.stat(root / folder).st_mtime_ns
    known = _seen.get((root, folder))
    if known is not None and known[0] == changed_ns and folder != "uploads":
        return known[1]
    found = set()
    for entry in os.scandir(root / folder):
        # A file may go while it is looked at.
        with suppress(FileNotFoundError):
            found.add((f"{folder}/{entry.name}", entry.stat().st_size))
    if time.time_ns() - changed_ns > SETTLED_NS:
        _seen[root, folder] = changed_ns, frozenset(found)
    return frozenset(found)
