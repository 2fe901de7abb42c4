"""Garbage: stored bytes that no row names, left when a process dies between storing and recording.

Nothing is removed at first sight, for the database might be the wrong one. What nothing names is listed; if the next
run finds it unnamed still, it is moved aside; days later, unnamed still, it is removed. What is named again is moved
back. A run that would move a large share of what is stored stops and asks.
"""

import logging
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from entrepot.content import blobs, uploads
from entrepot.database import facts
from entrepot.database.database import Database
from entrepot.errors import Conflict
from entrepot.lifecycle import store_identity
from entrepot.lifecycle.tables import garbage
from entrepot.storage import layout
from entrepot.storage.driver import StoredObject
from entrepot.storage.store import BlobStore

PAGE = 500
FOUND_IN_RUN_MAX = 100_000
"""Unnamed objects that one run deals with; the next run deals with more."""
MOVED_AT_ONCE = 50
MANY = 100
SHARE_MAX = 0.1
"""A run that would move aside more than MANY objects, and more than this share of all, stops."""
_DUE = "garbage.due_at_ms"
_ROWS = select(garbage.c.location, garbage.c.found_at_ms, garbage.c.moved_at_ms)
_MOVED = update(garbage).where(garbage.c.location == bindparam("moved")).values(moved_at_ms=bindparam("at_ms"))
log = logging.getLogger(__name__)


class TooMuchGarbage(Conflict):
    """A run would take so much away that a mistake is more likely."""

    code = "too_much_garbage"


@dataclass(frozen=True, slots=True)
class Collected:
    """How many objects there are, and what became of those that nothing names."""

    stored: int = 0
    listed: int = 0
    moved_aside: int = 0
    moved_back: int = 0
    removed: int = 0


@dataclass(frozen=True, slots=True)
class Terms:
    """Milliseconds: what is younger than the grace is left alone; what was moved aside is kept for a time."""

    now_ms: int
    grace_ms: int
    keep_ms: int


@dataclass(frozen=True, slots=True)
class _Row:
    found_at_ms: int
    moved_at_ms: int | None


async def collect(
    database: Database, store: BlobStore, terms: Terms, *, dry_run: bool = False, accept_many: bool = False
) -> Collected:
    """One run. Raises StoreForeign, DatabaseOlder, TooMuchGarbage, StorageUnavailable."""
    await store_identity.require_current(database, store)
    stored, unnamed = await _unnamed(database, store, terms.now_ms - terms.grace_ms)
    rows = await database.read(_rows)
    new = [location for location in unnamed if location not in rows]
    # Found by an earlier run: two looks, and time for an operator between them.
    due = [location for location in unnamed if location in rows and rows[location].found_at_ms < terms.now_ms]
    if len(due) > max(MANY, SHARE_MAX * stored) and not accept_many:
        raise TooMuchGarbage(
            f"{len(due)} of {stored} stored objects are unreferenced, which is more than a registry leaves behind: is "
            "this its database? Check with entrepot collect --dry-run; to move them aside anyway, run entrepot collect "
            "--accept-many"
        )
    if not dry_run:
        over = {location for location, row in rows.items() if row.moved_at_ms is None} - set(unnamed)
        await database.write(_list, new, over, terms.now_ms)
        for start in range(0, len(due), MOVED_AT_ONCE):
            moved = due[start : start + MOVED_AT_ONCE]
            for location in moved:
                await store.set_aside(location)
            await database.write(_move, moved, terms.now_ms)
    back, removed = await _look_aside(database, store, rows, terms, dry_run=dry_run)
    return Collected(stored, len(new), len(due), back, removed)


def claim(connection: Connection, now_ms: int, every_ms: int) -> bool:
    """Whether a run is due, and this process is the one to make it: one of any number. Never the first time."""
    due = facts.get(connection, _DUE)
    if due is None:
        facts.add(connection, _DUE, str(now_ms + every_ms))
        return False
    return int(due) <= now_ms and facts.replace(connection, _DUE, due, str(now_ms + every_ms))


async def _unnamed(database: Database, store: BlobStore, older_than_ms: int) -> tuple[int, list[str]]:
    """How many objects there are, and which of those last written before that time nothing names.

    Nothing is ever written again under the same location: what is old and has no row will never get one.
    """
    stored, unnamed = 0, list[str]()
    async for page in _pages(store.objects()):
        stored += len(page)
        old = [entry.location for entry in page if entry.modified_at_ms < older_than_ms]
        if len(unnamed) < FOUND_IN_RUN_MAX:
            named = await _named(database, old)
            unnamed += [location for location in old if location not in named]
    return stored, unnamed


async def _named(database: Database, locations: list[str]) -> set[str]:
    uploads_of = {location: layout.upload_id(location) for location in locations}
    # In this order: an upload that becomes a blob in between is seen as the one or the other.
    uploads_known = await database.read(uploads.known, list(uploads_of.values()))
    blobs_known = await database.read(blobs.known_locations, locations)
    return blobs_known | {location for location, upload_id in uploads_of.items() if upload_id in uploads_known}


async def _look_aside(
    database: Database, store: BlobStore, rows: dict[str, _Row], terms: Terms, *, dry_run: bool
) -> tuple[int, int]:
    """Move back what is named again, and remove what was aside for long enough; returns how many of each."""
    back = removed = 0
    async for page in _pages(store.aside()):
        locations = [entry.location for entry in page]
        named = await _named(database, locations)
        for location in locations:
            row = rows.get(location)
            if location in named:
                back += 1
                if not dry_run:
                    log.warning("%s was moved aside as garbage and is referenced again: moving it back", location)
                    await store.bring_back(location)
                    await database.write(_forget, [location])
            elif row is None or row.moved_at_ms is None:
                # Moved just now, or by another database: its time begins with being seen.
                if not dry_run and row is None:
                    await database.write(_note_aside, location, terms.now_ms)
            elif row.moved_at_ms <= terms.now_ms - terms.keep_ms:
                removed += 1
                if not dry_run:
                    await store.remove_aside(location)
                    await database.write(_forget, [location])
    return back, removed


async def _pages(stored: AsyncIterator[StoredObject]) -> AsyncIterator[list[StoredObject]]:
    page: list[StoredObject] = []
    async for entry in stored:
        page.append(entry)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page


def _rows(connection: Connection) -> dict[str, _Row]:
    return {row.location: _Row(row.found_at_ms, row.moved_at_ms) for row in connection.execute(_ROWS)}


def _list(connection: Connection, new: list[str], over: Iterable[str], now_ms: int) -> None:
    _forget(connection, over)
    if new:
        connection.execute(insert(garbage), [{"location": one, "found_at_ms": now_ms} for one in new])


def _move(connection: Connection, locations: list[str], now_ms: int) -> None:
    connection.execute(_MOVED, [{"moved": location, "at_ms": now_ms} for location in locations])


def _note_aside(connection: Connection, location: str, now_ms: int) -> None:
    """Unless the run that moves it has noted it meanwhile."""
    known = connection.execute(select(garbage.c.location).where(garbage.c.location == location)).first()
    if known is None:
        connection.execute(insert(garbage), {"location": location, "found_at_ms": now_ms, "moved_at_ms": now_ms})


def _forget(connection: Connection, locations: Iterable[str]) -> None:
    for location in locations:
        connection.execute(delete(garbage).where(garbage.c.location == location))
