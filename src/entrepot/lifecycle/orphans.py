"""Stored bytes that no row names: what is left when a process dies between storing and recording."""

from collections.abc import AsyncIterator

from entrepot.content import blobs, uploads
from entrepot.database.database import Database
from entrepot.storage import layout
from entrepot.storage.driver import StoredObject
from entrepot.storage.store import BlobStore

PAGE = 500


async def collect(database: Database, store: BlobStore, older_than_ms: int) -> int:
    """Remove orphans last written before that time; answers how many.

    Nothing is ever written again under the same location, so what is old and has no row will never get one.
    """
    removed = 0
    async for page in _pages(store.objects(), older_than_ms):
        uploads_of = {stored.location: layout.upload_id(stored.location) for stored in page}
        # In this order: an upload that becomes a blob in between is seen as the one or the other.
        uploads_known = await database.read(uploads.known, list(uploads_of.values()))
        blobs_known = await database.read(blobs.known_locations, list(uploads_of))
        for location, upload_id in uploads_of.items():
            if location not in blobs_known and upload_id not in uploads_known:
                await store.delete(location)
                removed += 1
    return removed


async def _pages(stored: AsyncIterator[StoredObject], older_than_ms: int) -> AsyncIterator[list[StoredObject]]:
    page: list[StoredObject] = []
    async for entry in stored:
        if entry.modified_at_ms < older_than_ms:
            page.append(entry)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page
