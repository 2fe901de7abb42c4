"""The blob store that the rest of the program uses: hashes while bytes arrive, verifies, and never copies.

Bytes move in batches: the next batch is received while the one before is written and hashed in a thread. Small blobs do
not reach the driver: they travel with their records (decision 0012).
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from entrepot.errors import ClientGone, EntrepotError, TooSlow
from entrepot.oci.digest import Digest, Hasher, new_hasher
from entrepot.storage import layout
from entrepot.storage.driver import Access, Driver, HeldBytes, PartWriter, StoredObject, UploadState
from entrepot.storage.errors import BlobDamaged, ContentMismatch, StorageHasNoSpace, StorageUnavailable
from entrepot.storage.threads import roaming_threads

log = logging.getLogger(__name__)
BATCH_BYTES_MAX = 1024 * 1024
BATCH_BYTES_MIN = 128 * 1024
BATCHES_BYTES = 32 * 1024 * 1024
"""Memory that all uploads of a worker together may hold in batches; each gets its share."""
AHEAD_BYTES_MAX = 256 * 1024
"""Bytes of a body to ask of the web server at a time. Asked for piece by piece, each one wakes three threads in turn:
512 MiB in chunks of 32 KiB take 1.4 s of processor time, and 0.5 s in this way."""
AHEAD_BYTES = 4 * 1024 * 1024
"""The same for all uploads of a worker together: 100 at once hold 160 MiB, instead of 250 with AHEAD_BYTES_MAX each."""
OVERLAPPING_MAX = 16
"""Uploads at once of which each receives while its last batch is written. With more there is enough to do anyway."""
CHECKPOINT_BYTES = 64 * 1024 * 1024
"""How far an upload may run ahead of its record: what a killed process makes a client send again, at most."""
HASHED_AT_ONCE_BYTES_MAX = 64 * 1024
"""Bytes that are hashed in the event loop: it takes 40 microseconds, and a trip to a thread more."""
HASHED_ALONE_BYTES = 128 * 1024
"""Pieces this large, on average, are hashed one by one; smaller ones are worth a copy that joins them."""
HASHING_THREADS_MAX = 4
WRITE_FAILURE_SECONDS = 30
"""How long the store counts as one that cannot be written after a push that it failed, unless another one succeeds."""
HASHERS_MAX = 4096
"""Unfinished hashes remembered between two requests of an upload; the oldest is forgotten, and hashed again."""

Checkpoint = Callable[[UploadState], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """Where a blob is and how long it must be: at a location of the driver's, or here. `size` is in bytes."""

    digest: Digest
    size: int
    location: str | None
    content: bytes | None = None


class BlobStore:
    """A driver and what every driver needs around it. Blobs of `small_bytes_max` or less are not given to it."""

    def __init__(self, driver: Driver, on_damage: Callable[[StoredBlob], None], small_bytes_max: int) -> None:
        self._driver = driver
        self._threads = roaming_threads(HASHING_THREADS_MAX, "hashing")
        self._small_bytes_max = min(small_bytes_max, BATCH_BYTES_MIN)
        self._on_damage = on_damage
        self._hashers: OrderedDict[str, tuple[UploadState, str, Hasher]] = OrderedDict()
        self._receiving = 0
        self._deleting: set[asyncio.Task[None]] = set()
        self._write_failure: tuple[float, EntrepotError] | None = None

    async def receive(
        self, upload: UploadState, body: AsyncIterator[bytes], algorithm: str, checkpoint: Checkpoint
    ) -> UploadState:
        """Append the body to the upload and answer its new state.

        `checkpoint` is awaited with the state that would survive now, after the first batch and then every
        CHECKPOINT_BYTES. If the client goes away, what arrived is kept and recorded before the error goes on. If
        anything else fails, the upload is as it was before.

        Raises UploadBusy, UploadLost, StorageUnavailable, StorageHasNoSpace.
        """
        # What is small is hashed when it is complete; when it grows beyond that, from its beginning.
        hasher = await self._hasher(upload, algorithm) if upload.parts else new_hasher(algorithm)
        self._receiving += 1
        try:
            with self._noting_failure():
                return await self._receive(upload, body, algorithm, hasher, checkpoint)
        finally:
            self._receiving -= 1

    async def _receive(
        self,
        upload: UploadState,
        body: AsyncIterator[bytes],
        algorithm: str,
        hasher: Hasher,
        checkpoint: Checkpoint,
    ) -> UploadState:
        writer = await self._driver.open_part(replace(upload, content=b"") if upload.parts else UploadState(upload.id))
        writing: asyncio.Task[None] | None = None
        batch = [upload.content] if upload.content else []
        batch_bytes = len(upload.content)
        recorded: UploadState | None = None
        broken: EntrepotError | None = None
        try:
            try:
                async for piece in body:
                    batch.append(piece)
                    batch_bytes += len(piece)
                    del piece  # Else it would be held, written or not, until the next one arrives.
                    if batch_bytes < self._batch_bytes():
                        continue
                    if writing is not None:
                        await writing
                        kept = writer.kept
                        if recorded is None or kept.offset - recorded.offset >= CHECKPOINT_BYTES:
                            await checkpoint(kept)
                            recorded = kept
                    writing = asyncio.create_task(self._keep(writer, hasher, batch, last=False))
                    batch, batch_bytes = [], 0
                    if self._receiving > OVERLAPPING_MAX:
                        await writing
            except (ClientGone, TooSlow) as error:
                broken = error
            if writing is not None:
                await writing
            if writing is None and not upload.parts and batch_bytes <= self._small_bytes_max:
                small = UploadState(upload.id, batch_bytes, (), b"".join(batch))
                return await self._received(small, broken, checkpoint)
            await self._keep(writer, hasher, batch, last=True)
        except BaseException:
            if writing is not None:
                await asyncio.gather(writing, return_exceptions=True)
            await writer.abort(seen=recorded is not None)
            if recorded is not None:
                await checkpoint(upload)
            raise
        self._remember(writer.kept, algorithm, hasher)
        return await self._received(writer.kept, broken, checkpoint)

    async def _received(self, state: UploadState, broken: EntrepotError | None, checkpoint: Checkpoint) -> UploadState:
        if broken is not None:
            await checkpoint(state)
            raise broken
        return state

    async def commit(self, upload: UploadState, digest: Digest) -> StoredBlob:
        """Verify the upload and make it durable. Raises ContentMismatch, UploadLost, StorageUnavailable/HasNoSpace."""
        await self.verify(upload, digest)
        if not upload.parts:
            return StoredBlob(digest, upload.offset, None, upload.content)
        with self._noting_failure():
            location = await self._driver.commit(upload, digest)
        self._write_failure = None
        self._hashers.pop(upload.id, None)
        return StoredBlob(digest, upload.offset, location)

    async def verify(self, upload: UploadState, digest: Digest) -> None:
        """Raises ContentMismatch when the bytes received are not those of the digest."""
        if upload.parts:
            hasher = await self._hasher(upload, digest.algorithm)
            self._remember(upload, digest.algorithm, hasher)
            received = Digest(f"{digest.algorithm}:{hasher.hexdigest()}")
        else:
            received = Digest.of(upload.content, digest.algorithm)
        if received != digest:
            raise ContentMismatch(
                f"the {upload.offset} bytes received do not match the announced digest: send the blob again",
                {"announced": digest, "received": received},
            )

    async def discard(self, upload: UploadState) -> None:
        self._hashers.pop(upload.id, None)
        if upload.parts:
            await self._driver.discard(upload)

    async def open(self, blob: StoredBlob) -> Access:
        """How the blob reaches a client, once it is known to be whole. Raises BlobDamaged."""
        if blob.location is None:
            return HeldBytes(blob.content or b"")
        await self.check(blob)
        return await self._driver.access(blob.location)

    async def check(self, blob: StoredBlob) -> None:
        """Raises BlobDamaged when the bytes are missing, or not as many as recorded."""
        if blob.location is not None and await self._driver.size(blob.location) != blob.size:
            self._on_damage(blob)
            raise BlobDamaged(
                "the stored bytes of this blob are missing or damaged: push the image again to repair it, "
                "or restore the registry's storage from a backup",
                {"digest": blob.digest},
            )

    def read(self, blob: StoredBlob, start: int, end: int) -> AsyncIterator[bytes]:
        """Bytes from start up to, not including, end."""
        if blob.location is None:
            return _once((blob.content or b"")[start:end])
        return self._driver.read(blob.location, start, end)

    async def put(self, location: str, content: bytes) -> None:
        """Keep what is no blob, and is never collected, at a location. Durable when this returns."""
        await self._driver.put(location, content)

    async def get(self, location: str) -> bytes | None:
        """What was put there, None when it is not there. Read whole: it is some megabytes."""
        size = await self._driver.size(location)
        if size is None:
            return None
        return b"".join([piece async for piece in self._driver.read(location, 0, size)])

    async def delete(self, location: str) -> None:
        """Remove an object that no blob is at."""
        await self._driver.delete(location)

    def delete_soon(self, location: str) -> None:
        """As `delete`, without waiting for it. What is left when that fails is garbage."""
        task = asyncio.create_task(self._delete_or_leave(location))
        self._deleting.add(task)
        task.add_done_callback(self._deleting.discard)

    async def _delete_or_leave(self, location: str) -> None:
        try:
            await self._driver.delete(location)
        except EntrepotError as error:
            log.warning("%s could not be removed and is left to garbage collection: %s", location, error.message)

    def objects(self) -> AsyncIterator[StoredObject]:
        """All blobs and unfinished uploads, but for what was set aside."""
        return self._driver.objects()

    async def set_aside(self, location: str) -> None:
        """Move an object to where garbage is kept. No error if it is not there any more."""
        await self._driver.move(location, layout.aside(location))

    async def bring_back(self, location: str) -> None:
        await self._driver.move(layout.aside(location), location)

    async def remove_aside(self, location: str) -> None:
        await self._driver.delete(layout.aside(location))

    async def aside(self) -> AsyncIterator[StoredObject]:
        """What was set aside, each under the location that it had."""
        async for entry in self._driver.aside():
            yield StoredObject(layout.before_aside(entry.location), entry.modified_at_ms)

    async def check_reading(self) -> None:
        """Raises StorageUnavailable when nothing can be read."""
        await self._driver.check_reading()

    async def check_writing(self) -> None:
        """Raises StorageUnavailable, StorageHasNoSpace when it is known that nothing can be written. Writes nothing.

        Some disks say only to a write that they take none: what the last push met counts for a while.
        """
        await self._driver.check_writing()
        if self._write_failure is not None:
            failed_at, error = self._write_failure
            if time.monotonic() - failed_at < WRITE_FAILURE_SECONDS:
                raise error.with_traceback(None)

    async def close(self) -> None:
        await asyncio.gather(*self._deleting)
        self._threads.shutdown(wait=True)
        await self._driver.close()

    @contextmanager
    def _noting_failure(self) -> Iterator[None]:
        """Remember that the store took no bytes."""
        try:
            yield
        except (StorageUnavailable, StorageHasNoSpace) as error:
            self._write_failure = time.monotonic(), error
            raise

    async def _keep(self, writer: PartWriter, hasher: Hasher, pieces: list[bytes], *, last: bool) -> None:
        """Write and hash at the same time: each takes some 0.7 s for a GiB on its own."""
        if sum(map(len, pieces)) <= HASHED_AT_ONCE_BYTES_MAX:
            _hash(hasher, pieces)
            await writer.write(pieces, last=last)
            return
        hashing = asyncio.get_running_loop().run_in_executor(self._threads, _hash, hasher, pieces)
        try:
            await writer.write(pieces, last=last)
        finally:
            await hashing

    def bytes_ahead(self) -> int:
        """How much of an upload's body to ask for at a time now."""
        return min(AHEAD_BYTES_MAX, AHEAD_BYTES // max(1, self._receiving))

    def _batch_bytes(self) -> int:
        share = BATCHES_BYTES // (2 * max(1, self._receiving))
        return min(BATCH_BYTES_MAX, max(BATCH_BYTES_MIN, share))

    async def _hasher(self, upload: UploadState, algorithm: str) -> Hasher:
        """The upload's hash so far: remembered, or else (another worker had it) computed again from the store."""
        state, known_algorithm, hasher = self._hashers.pop(upload.id, (None, algorithm, None))
        if hasher is not None and state == upload and known_algorithm == algorithm:
            return hasher
        hasher = new_hasher(algorithm)
        if upload.offset:
            loop = asyncio.get_running_loop()
            async for piece in self._driver.read_upload(upload):
                await loop.run_in_executor(self._threads, hasher.update, piece)
        return hasher

    def _remember(self, upload: UploadState, algorithm: str, hasher: Hasher) -> None:
        self._hashers[upload.id] = (upload, algorithm, hasher)
        if len(self._hashers) > HASHERS_MAX:
            self._hashers.popitem(last=False)


def _hash(hasher: Hasher, pieces: list[bytes]) -> None:
    # Small ones as one: each of thousands of 32 KiB pieces would wait for the interpreter's lock once more.
    if sum(map(len, pieces)) < len(pieces) * HASHED_ALONE_BYTES:
        pieces = [b"".join(pieces)]
    for piece in pieces:
        hasher.update(piece)


async def _once(piece: bytes) -> AsyncIterator[bytes]:
    yield piece
