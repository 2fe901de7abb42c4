"""S3, Google Cloud Storage and Azure Blob Storage, through obstore.

An object store cannot append: every request that sends bytes makes one part, an object of its own. An upload of one
part *is* the blob, under the part's key; several parts are joined once, when the upload is closed.

No call waits forever (decision 0025): those that move no blob have a limit in all; those that do have one for silence.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

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
"""What obstore raises: its own errors, and Python's where it acts as a file, and for a limit that is over."""

T = TypeVar("T")


class ObjectStoreDriver:
    """Blobs in one bucket, shared by any number of machines."""

    def __init__(
        self, store: ObjectStore, sending: ObjectStore, *, redirects: bool, call_seconds: float, idle_seconds: float
    ) -> None:
        """`sending` is the same store as a client that waits longer for an answer, which comes after what is sent."""
        self._store = store
        self._sending = sending
        self._redirects = redirects
        self._call_seconds = call_seconds
        self._idle_seconds = idle_seconds

    async def open_part(self, upload: UploadState) -> "_PartWriter":
        part = layout.new_part()
        return _PartWriter(upload, part, self._writer(layout.part(upload.id, part)), self)

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
            writer = self._writer(location)
            async for piece in self.read_upload(upload):
                await self.while_it_answers(writer.write(piece))
            await self.while_it_answers(writer.close())
        except _FAILURES as error:
            raise _unavailable() from error
        await self.discard(upload)
        return location

    async def put(self, location: str, content: bytes) -> None:
        try:
            await self.while_it_answers(obstore.put_async(self._sending, location, content))
        except _FAILURES as error:
            raise _unavailable() from error

    async def discard(self, upload: UploadState) -> None:
        await self._delete([layout.part(upload.id, part) for part in upload.parts])

    async def size(self, location: str) -> int | None:
        try:
            async with asyncio.timeout(self._call_seconds):
                return (await obstore.head_async(self._store, location))["size"]
        except FileNotFoundError:
            return None
        except _FAILURES as error:
            raise _unavailable() from error

    async def access(self, location: str) -> Access:
        if not self._redirects:
            return Proxied()
        signing: Any = self._store
        try:
            # It is a calculation, but for credentials that have to be fetched.
            async with asyncio.timeout(self._call_seconds):
                url = await obstore.sign_async(signing, "GET", location, timedelta(seconds=PRESIGNED_SECONDS))
        except _FAILURES as error:
            raise _unavailable() from error
        return Redirect(url)

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
            # Whoever copies may have gigabytes to copy before they answer.
            await self.while_it_answers(obstore.rename_async(self._sending, location, target))
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
        pages = obstore.list(self._store, prefix=f"{prefix}/")
        while True:
            try:
                async with asyncio.timeout(self._call_seconds):
                    page = await anext(pages, None)
            except _FAILURES as error:
                raise _unavailable() from error
            if page is None:
                return
            for entry in page:
                yield StoredObject(entry["path"], int(entry["last_modified"].timestamp() * 1000))

    async def check_reading(self) -> None:
        try:
            # Nothing is there: a bucket that can be listed says so at once, however much is in it.
            async with asyncio.timeout(self._call_seconds):
                await anext(obstore.list(self._store, prefix="ready/"), None)
        except _FAILURES as error:
            raise _unavailable() from error

    async def check_writing(self) -> None:
        """Only a write would tell, and who asks whether the registry is ready shall not cause one."""

    async def close(self) -> None:
        return None

    async def while_it_answers(self, step: Awaitable[T]) -> T:
        """Wait for what may take long, as long as the store says something when it is asked whether it is there."""
        task = asyncio.ensure_future(step)
        try:
            while not (await asyncio.wait({task}, timeout=self._idle_seconds))[0]:
                await self.check_reading()
            return task.result()
        finally:
            task.cancel()

    def _writer(self, location: str) -> Any:
        return obstore.open_writer_async(
            self._sending, location, buffer_size=PART_BYTES, max_concurrency=PIECES_CONCURRENT_MAX
        )

    async def _delete(self, keys: list[str]) -> None:
        for key in keys:
            try:
                async with asyncio.timeout(self._call_seconds):
                    await obstore.delete_async(self._store, key)
            except FileNotFoundError:
                continue
            except _FAILURES as error:
                raise _unavailable() from error


class _PartWriter:
    """One part, put in pieces. It exists only once it is closed: nothing of it is kept before."""

    def __init__(self, upload: UploadState, part: str, writer: Any, driver: ObjectStoreDriver) -> None:
        self._upload = upload
        self._part = part
        self._writer = writer
        self._driver = driver
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
                await self._driver.while_it_answers(self._writer.write(joined))
                self._written += len(joined)
            # A part without bytes would only mean that several have to be joined.
            if last and (self._written or not self._upload.parts):
                await self._driver.while_it_answers(self._writer.close())
                self._closed = True
        except _FAILURES as error:
            raise _unavailable() from error

    async def abort(self, *, seen: bool) -> None:
        """A part that was never closed does not exist; the store drops its pieces when its lifecycle rule says so."""
        self._writer = None


def _lost(upload: UploadState) -> UploadLost:
    return UploadLost(f"the bytes of upload {upload.id} are lost: start it again")


def _unavailable() -> StorageUnavailable:
    return StorageUnavailable("the registry's object store does not respond: try again later, or ask the operator")
