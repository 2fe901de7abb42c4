"""S3, Google Cloud Storage and Azure Blob Storage, through obstore.

An object store cannot append: every request that sends bytes makes one part, an object of its own. An upload of one
part *is* the blob, under the part's key; several parts are joined once, when the upload is closed.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from entrepot.oci.digest import Digest
from entrepot.storage import layout
from entrepot.storage.driver import Access, Proxied, Redirect, StoredObject, UploadState
from entrepot.storage.errors import StorageUnavailable, UploadLost

PART_BYTES = 8 * 1024 * 1024
"""Bytes buffered for each piece of a multipart put; S3 allows 10,000 pieces, so a request can send 80 GB."""
PIECES_CONCURRENT_MAX = 4
READ_BYTES = 4 * 1024 * 1024
PRESIGNED_SECONDS = 1200
_FAILURES = (BaseError, OSError)
"""What obstore raises: its own errors, and Python's where it acts as a file."""


class ObjectStoreDriver:
    """Blobs in one bucket, shared by any number of machines."""

    def __init__(self, store: ObjectStore, *, redirects: bool) -> None:
        self._store = store
        self._redirects = redirects

    async def open_part(self, upload: UploadState) -> "_PartWriter":
        part = layout.new_part()
        writer = obstore.open_writer_async(
            self._store,
            layout.part(upload.id, part),
            buffer_size=PART_BYTES,
            max_concurrency=PIECES_CONCURRENT_MAX,
        )
        return _PartWriter(upload, part, writer)

    async def read_upload(self, upload: UploadState) -> AsyncIterator[bytes]:
        for part in upload.parts:
            try:
                answer = await obstore.get_async(self._store, layout.part(upload.id, part))
                async for piece in answer.stream(min_chunk_size=READ_BYTES):
                    yield bytes(piece)
            except FileNotFoundError:
                raise _lost(upload) from None
            except _FAILURES as error:
                raise _unavailable() from error

    async def commit(self, upload: UploadState, digest: Digest) -> str:
        if len(upload.parts) == 1:
            location = layout.part(upload.id, upload.parts[0])
            if await self.size(location) != upload.offset:
                raise _lost(upload)
            return location
        location = layout.blob(digest, upload.id, layout.new_part())
        try:
            async with obstore.open_writer_async(
                self._store, location, buffer_size=PART_BYTES, max_concurrency=PIECES_CONCURRENT_MAX
            ) as writer:
                async for piece in self.read_upload(upload):
                    await writer.write(piece)
        except _FAILURES as error:
            raise _unavailable() from error
        await self.discard(upload)
        return location

    async def put(self, location: str, content: bytes) -> None:
        try:
            await obstore.put_async(self._store, location, content)
        except _FAILURES as error:
            raise _unavailable() from error

    async def discard(self, upload: UploadState) -> None:
        await self._delete([layout.part(upload.id, part) for part in upload.parts])

    async def size(self, location: str) -> int | None:
        try:
            return (await obstore.head_async(self._store, location))["size"]
        except FileNotFoundError:
            return None
        except _FAILURES as error:
            raise _unavailable() from error

    async def access(self, location: str) -> Access:
        if not self._redirects:
            return Proxied()
        signed: Any = self._store
        return Redirect(await obstore.sign_async(signed, "GET", location, timedelta(seconds=PRESIGNED_SECONDS)))

    async def read(self, location: str, start: int, end: int) -> AsyncIterator[bytes]:
        if start >= end:
            return
        try:
            answer = await obstore.get_async(self._store, location, options={"range": (start, end)})
            async for piece in answer.stream(min_chunk_size=READ_BYTES):
                start += len(piece)
                yield bytes(piece)
        except _FAILURES as error:
            raise _unavailable() from error
        if start < end:
            raise StorageUnavailable(f"{location} ends at byte {start}, before byte {end}")

    async def delete(self, location: str) -> None:
        await self._delete([location])

    async def move(self, location: str, target: str) -> None:
        try:
            await obstore.rename_async(self._store, location, target)
        except FileNotFoundError:
            return
        except _FAILURES as error:
            raise _unavailable() from error

    async def objects(self) -> AsyncIterator[StoredObject]:
        for prefix in (layout.BLOBS, layout.UPLOADS):
            async for entry in self._listing(prefix):
                yield entry

    def aside(self) -> AsyncIterator[StoredObject]:
        return self._listing(layout.GARBAGE)

    async def _listing(self, prefix: str) -> AsyncIterator[StoredObject]:
        try:
            async for page in obstore.list(self._store, prefix=f"{prefix}/"):
                for entry in page:
                    yield StoredObject(entry["path"], int(entry["last_modified"].timestamp() * 1000))
        except _FAILURES as error:
            raise _unavailable() from error

    async def check_reading(self) -> None:
        try:
            # Nothing is there: a bucket that can be listed says so at once, however much is in it.
            async for _ in obstore.list(self._store, prefix="ready/"):
                break
        except _FAILURES as error:
            raise _unavailable() from error

    async def check_writing(self) -> None:
        """Only a write would tell, and who asks whether the registry is ready shall not cause one."""

    async def close(self) -> None:
        return None

    async def _delete(self, keys: list[str]) -> None:
        for key in keys:
            try:
                await obstore.delete_async(self._store, key)
            except FileNotFoundError:
                continue
            except _FAILURES as error:
                raise _unavailable() from error


class _PartWriter:
    """One part, put in pieces. It exists only once it is closed: nothing of it is kept before."""

    def __init__(self, upload: UploadState, part: str, writer: Any) -> None:
        self._upload = upload
        self._part = part
        self._writer = writer
        self._written = 0
        self._closed = False

    @property
    def kept(self) -> UploadState:
        if not self._closed:
            return self._upload
        upload = self._upload
        return UploadState(upload.id, upload.offset + self._written, (*upload.parts, self._part))

    async def write(self, pieces: Sequence[bytes], *, last: bool) -> None:
        joined = b"".join(pieces)
        try:
            if joined:
                await self._writer.write(joined)
                self._written += len(joined)
            # A part without bytes would only mean that several have to be joined.
            if last and (self._written or not self._upload.parts):
                await self._writer.close()
                self._closed = True
        except _FAILURES as error:
            raise _unavailable() from error

    async def abort(self, *, seen: bool) -> None:
        """A part that was never closed does not exist; the store drops its pieces when its lifecycle rule says so."""
        self._writer = None


def _lost(upload: UploadState) -> UploadLost:
    return UploadLost(f"the bytes of upload {upload.id} are lost: start it again")


def _unavailable() -> StorageUnavailable:
    return StorageUnavailable("the registry's object store does not answer: try again later, or ask its operator")
