"""Uploads that nobody went on with."""

from entrepot.content import uploads
from entrepot.database.database import Database
from entrepot.storage.store import BlobStore

PAGE = 100


async def expire(database: Database, store: BlobStore, now_ms: int) -> int:
    """Remove expired uploads and their bytes; answers how many.

    The row goes first, so that nobody makes a blob of bytes that are going; bytes left behind are garbage.
    """
    removed = 0
    while stale := await database.read(uploads.expired, now_ms, PAGE):
        for upload in stale:
            if await database.write(uploads.expire, upload.id, now_ms, durable=False):
                await store.discard(upload)
                removed += 1
    return removed
