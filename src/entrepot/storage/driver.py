"""What a storage backend implements. Everything shared (hashing, batching, limits, verification) is above, in store.py.

An object is written once, as one or more parts, and is addressed ever after by the location that `commit` answers.
Locations are unique to one upload: two uploads of the same content never meet in the store, so deleting one object
cannot damage another.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from entrepot.oci.digest import Digest


@dataclass(frozen=True, slots=True)
class UploadState:
    """What is recorded of an upload between two requests: `offset` bytes, held by the store in these parts.

    Without parts they are few, and `content` has them.

    A part's name is new whenever one is begun, and the bytes that a state has recorded never change: what two requests
    make of one upload at the same time, or of one that is over, are different parts.
    """

    id: str
    offset: int = 0
    parts: tuple[str, ...] = ()
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object in a listing. `modified_at_ms` is milliseconds since the epoch."""

    location: str
    modified_at_ms: int


@dataclass(frozen=True, slots=True)
class HeldBytes:
    """The object is here already."""

    content: bytes


@dataclass(frozen=True, slots=True)
class LocalFile:
    """The object is a file that the web server can send by itself."""

    path: str


@dataclass(frozen=True, slots=True)
class Redirect:
    """The client can fetch the object itself, for a short time."""

    url: str


@dataclass(frozen=True, slots=True)
class Proxied:
    """The object has to be read through `Driver.read`."""


Access = HeldBytes | LocalFile | Redirect | Proxied


class PartWriter(Protocol):
    """Appends to an upload. One writer at a time; closed or aborted exactly once."""

    @property
    def kept(self) -> UploadState:
        """The upload with what of the bytes written so far would survive if this process died now."""
        ...

    async def write(self, pieces: Sequence[bytes], *, last: bool) -> None:
        """Write the pieces; with `last`, close. Raises StorageUnavailable, StorageHasNoSpace."""
        ...

    async def abort(self, *, seen: bool) -> None:
        """Forget what was written since the writer was opened; `seen` when some of it was recorded meanwhile."""
        ...


class Driver(Protocol):
    """One place where bytes are kept. All methods raise StorageUnavailable or StorageHasNoSpace when it fails."""

    async def open_part(self, upload: UploadState) -> PartWriter:
        """Continue the upload at its offset; what an earlier request left beyond it is dropped.

        Raises UploadBusy, UploadLost."""
        ...

    def read_upload(self, upload: UploadState) -> AsyncIterator[bytes]:
        """The upload's bytes so far, to hash them again. Raises UploadLost."""
        ...

    async def commit(self, upload: UploadState, digest: Digest) -> str:
        """Make the upload a durable object and answer its location. The bytes are not copied unless the store cannot
        do otherwise. Raises UploadLost, UploadBusy."""
        ...

    async def put(self, location: str, content: bytes) -> None:
        """Make these bytes, which are no blob, a durable object, whole or not at all, in the place of what is there."""
        ...

    async def discard(self, upload: UploadState) -> None:
        """Remove whatever the upload left. No error if it left nothing."""
        ...

    async def size(self, location: str) -> int | None:
        """The object's size in bytes, None when it is not there."""
        ...

    async def access(self, location: str) -> Access:
        """How the object reaches a client."""
        ...

    def read(self, location: str, start: int, end: int) -> AsyncIterator[bytes]:
        """The object's bytes from start up to, not including, end."""
        ...

    async def delete(self, location: str) -> None:
        """Remove the object. No error if it is not there."""
        ...

    async def move(self, location: str, target: str) -> None:
        """Give the object another location, durably. No error if it is not there any more."""
        ...

    def objects(self) -> AsyncIterator[StoredObject]:
        """All blobs and unfinished uploads, in no order: for collection, never to answer a request."""
        ...

    def aside(self) -> AsyncIterator[StoredObject]:
        """All objects in the folder for garbage, in no order."""
        ...

    async def check_reading(self) -> None:
        """Return when the store can be read, raise StorageUnavailable otherwise. Writes nothing."""
        ...

    async def check_writing(self) -> None:
        """The same for writing, as far as that can be known without doing it. Raises StorageHasNoSpace, too."""
        ...

    async def close(self) -> None: ...
