"""Bodies of requests, and what is recorded of their uploads."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable

from entrepot.oci.digest import Digest
from entrepot.storage.driver import UploadState
from entrepot.storage.store import BlobStore, StoredBlob

MIB = 1024 * 1024


def new_upload() -> UploadState:
    return UploadState(str(uuid.uuid4()))


async def body(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


async def broken(error: BaseException, pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    """A body that ends in an error."""
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece
    raise error


def mebibytes(count: int) -> Iterable[bytes]:
    """Pieces of 1 MiB, each another one, made when they are asked for."""
    return (number.to_bytes(4, "big") * (MIB // 4) for number in range(count))


class Record:
    """Stands for the upload's row: a checkpoint that remembers what it was given."""

    def __init__(self) -> None:
        self.states: list[UploadState] = []

    async def __call__(self, state: UploadState) -> None:
        self.states.append(state)


async def stored(store: BlobStore, content: bytes, algorithm: str = "sha256") -> StoredBlob:
    """A blob with this content."""
    upload = await store.receive(new_upload(), body(content), algorithm, Record())
    return await store.commit(upload, Digest.of(content, algorithm))


async def content_of(store: BlobStore, blob: StoredBlob) -> bytes:
    return b"".join([piece async for piece in store.read(blob, 0, blob.size)])
