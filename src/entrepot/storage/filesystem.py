"""Local files. An upload is one file that grows; commit makes it durable and renames it, and copies nothing."""

import asyncio
import ctypes
import errno
import fcntl
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from entrepot.errors import Unavailable
from entrepot.oci.digest import ALGORITHMS, Digest
from entrepot.storage import layout
from entrepot.storage.driver import Access, LocalFile, StoredObject, UploadState
from entrepot.storage.errors import StorageHasNoSpace, StorageUnavailable, UploadBusy, UploadLost
from entrepot.storage.threads import roaming_threads

READ_BYTES = 1024 * 1024
THREADS_MAX = 8
PIECES_IN_CALL_MAX = 1024
FLUSH_BYTES = 32 * 1024 * 1024
FREE_BYTES_MIN = 1024 * 1024
"""With less room than this a disk counts as full."""
_SYNC_FILE_RANGE_WRITE = 2
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

T = TypeVar("T")
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class FilesystemDriver:
    """Blobs under a root directory of one file system, shared by every worker of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._prefix = f"{self._root}/"
        self._threads = roaming_threads(THREADS_MAX, "storage")
        if not (self._root / layout.UPLOADS).is_dir():
            _make_folders(self._root)

    async def open_part(self, upload: UploadState) -> "_PartWriter":
        return _PartWriter(self, self._root, upload)

    async def read_upload(self, upload: UploadState) -> AsyncIterator[bytes]:
        location = layout.part(upload.id, upload.parts[-1])
        if (await self.size(location) or 0) < upload.offset:
            raise _lost(self._path(location))
        try:
            async for piece in self.read(location, 0, upload.offset):
                yield piece
        except StorageUnavailable as error:
            if isinstance(error.__cause__, FileNotFoundError):  # It was finished or cancelled a moment ago.
                raise _lost(self._path(location)) from None
            raise

    async def commit(self, upload: UploadState, digest: Digest) -> str:
        (part,) = upload.parts
        location = layout.blob(digest, upload.id, part)
        await self.run(_commit, self._path(layout.part(upload.id, part)), self._path(location), upload.offset)
        return location

    async def put(self, location: str, content: bytes) -> None:
        await self.run(_put, self._path(location), content)

    async def discard(self, upload: UploadState) -> None:
        for part in upload.parts:
            await self.run(self._path(layout.part(upload.id, part)).unlink, missing_ok=True)

    async def size(self, location: str) -> int | None:
        # A stat takes 2 microseconds, a trip to a thread 60: it stays in the event loop.
        try:
            return os.stat(self._prefix + location).st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unavailable(error) from error

    async def access(self, location: str) -> Access:
        return LocalFile(self._prefix + location)

    async def read(self, location: str, start: int, end: int) -> AsyncIterator[bytes]:
        file = await self.run(os.open, self._path(location), os.O_RDONLY | os.O_CLOEXEC)
        try:
            while start < end:
                piece = await self.run(os.pread, file, min(READ_BYTES, end - start), start)
                if not piece:
                    raise StorageUnavailable(f"{location} ends at byte {start}, before byte {end}")
                start += len(piece)
                yield piece
        finally:
            os.close(file)

    async def delete(self, location: str) -> None:
        await self.run(self._path(location).unlink, missing_ok=True)

    async def objects(self) -> AsyncIterator[StoredObject]:
        for folder in _folders():
            for name, modified_at_ms in await self.run(_listing, self._path(folder)):
                yield StoredObject(f"{folder}/{name}", modified_at_ms)

    async def move(self, location: str, target: str) -> None:
        await self.run(_move, self._path(location), self._path(target))

    async def aside(self) -> AsyncIterator[StoredObject]:
        folder = self._path(layout.GARBAGE)
        if folder.is_dir():
            for name, modified_at_ms in await self.run(_listing, folder):
                yield StoredObject(f"{layout.GARBAGE}/{name}", modified_at_ms)

    async def check_reading(self) -> None:
        await self.run(_check_readable, self._path(layout.UPLOADS))

    async def check_writing(self) -> None:
        await self.run(_check_writable, self._path(layout.UPLOADS))

    async def close(self) -> None:
        self._threads.shutdown(wait=True)

    async def run(self, function: Callable[..., T], *args: object, **kwargs: object) -> T:
        """Call a blocking function in a thread; its OSError comes out as StorageUnavailable or StorageHasNoSpace."""
        try:
            return await self.start(function, *args, **kwargs)
        except OSError as error:
            raise unavailable(error) from error

    def start(self, function: Callable[..., T], *args: object, **kwargs: object) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, lambda: function(*args, **kwargs))

    def _path(self, location: str) -> Path:
        return self._root / location


class _PartWriter:
    """An upload's file, opened and locked by the first write so that a small part costs one trip to a thread."""

    def __init__(self, driver: FilesystemDriver, root: Path, upload: UploadState) -> None:
        self._driver = driver
        self._root = root
        self._before = upload
        self._part = upload.parts[-1] if upload.parts else layout.new_part()
        self._working: asyncio.Future[None] | None = None
        self._written = 0
        self._unflushed = 0
        self._file: int | None = None

    @property
    def kept(self) -> UploadState:
        return UploadState(self._before.id, self._before.offset + self._written, (self._part,))

    async def write(self, pieces: Sequence[bytes], *, last: bool) -> None:
        # Whoever waits may be cancelled, but not the thread: abort waits for it before it closes the file.
        self._working = self._driver.start(self._write, pieces, last)
        try:
            await asyncio.shield(self._working)
        except OSError as error:
            raise unavailable(error) from error

    async def abort(self, *, seen: bool) -> None:
        if self._working is not None:
            await asyncio.gather(self._working, return_exceptions=True)
        if self._file is not None:
            await self._driver.run(self._abort, self._file, seen)
            self._file = None

    def _write(self, pieces: Sequence[bytes], last: bool) -> None:
        if self._file is None:
            self._file = self._open()
        written = _write_all(self._file, pieces)
        self._written += written
        self._unflushed += written
        if self._unflushed >= FLUSH_BYTES:
            _start_write_back(self._file)
            self._unflushed = 0
        if last:
            os.close(self._file)
            self._file = None

    def _open(self) -> int:
        """The part's file, locked, and with the next byte to be written at the upload's offset."""
        before = self._before
        if not before.parts:
            return _new_locked(self._path())
        file = _open_locked(self._path(), os.O_RDWR)
        try:
            size = os.fstat(file).st_size
            if size < before.offset:
                raise _lost(self._path())
            if size == before.offset:
                os.lseek(file, size, os.SEEK_SET)
                return file
        except BaseException:
            os.close(file)
            raise
        # A killed process left more than was recorded, and that may have been seen: what comes now has another name.
        try:
            self._part = layout.new_part()
            return _copy_locked(file, self._path(), before.offset)
        finally:
            os.close(file)

    def _abort(self, file: int, seen: bool) -> None:
        try:
            if (self._part,) != self._before.parts:
                self._path().unlink(missing_ok=True)
            elif not seen:
                os.ftruncate(file, self._before.offset)
        finally:
            os.close(file)

    def _path(self) -> Path:
        return self._root / layout.part(self._before.id, self._part)


def unavailable(error: OSError) -> Unavailable:
    """The error kind of a failure of the file system. The path stays in the cause, for the log only."""
    reason = error.strerror or type(error).__name__
    if error.errno in _NO_SPACE:
        return StorageHasNoSpace(f"the registry's storage is full ({reason}): ask the operator to add space")
    return StorageUnavailable(f"the registry's storage has an error ({reason}): try again later, or ask the operator")


def _folders() -> Iterator[str]:
    for algorithm in ALGORITHMS:
        for first in range(256):
            yield f"{layout.BLOBS}/{algorithm}/{first:02x}"
    yield layout.UPLOADS


def _make_folders(root: Path) -> None:
    for folder in _folders():
        (root / folder).mkdir(parents=True, exist_ok=True)


def _new_locked(path: Path) -> int:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def _open_locked(path: Path, flags: int) -> int:
    """An upload's file, for this request alone. Raises UploadBusy, UploadLost."""
    try:
        file = os.open(path, flags | os.O_CLOEXEC)
    except FileNotFoundError:
        raise _lost(path) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _is_at(file, path):
            raise _lost(path)
    except BlockingIOError:
        os.close(file)
        raise UploadBusy(
            "another request is writing to this upload: wait for it, then get the upload's status"
        ) from None
    except BaseException:
        os.close(file)
        raise
    return file


def _is_at(file: int, path: Path) -> bool:
    """Whether the open file still has this name: it may have become a blob before the lock was got."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _copy_locked(source: int, path: Path, size: int) -> int:
    """A new file with the first bytes of another one."""
    file = _new_locked(path)
    try:
        copied = 0
        while copied < size:
            copied += os.sendfile(file, source, copied, size - copied)
    except BaseException:
        os.close(file)
        path.unlink()
        raise
    return file


def _lost(path: Path) -> UploadLost:
    return UploadLost(f"the bytes of upload {path.name} are lost: start it again")


def _write_all(file: int, pieces: Sequence[bytes]) -> int:
    """Write the pieces with as few system calls as there can be; answers how many bytes they were."""
    total = 0
    for start in range(0, len(pieces), PIECES_IN_CALL_MAX):
        rest: Sequence[bytes | memoryview] = pieces[start : start + PIECES_IN_CALL_MAX]
        while rest:
            written = os.writev(file, rest)
            total += written
            rest = _unwritten(rest, written)
    return total


def _unwritten(pieces: Sequence[bytes | memoryview], written: int) -> Sequence[bytes | memoryview]:
    for position, piece in enumerate(pieces):
        if written < len(piece):
            return [memoryview(piece)[written:], *pieces[position + 1 :]]
        written -= len(piece)
    return ()


def _start_write_back(file: int) -> None:
    """Have the kernel begin to write what is dirty, so that the fsync at the end does not find it all still to do."""
    if _libc is not None:
        _libc.sync_file_range(file, ctypes.c_int64(0), ctypes.c_int64(0), _SYNC_FILE_RANGE_WRITE)


def _commit(source: Path, target: Path, size: int) -> None:
    """fsync the bytes, give them their name, fsync the directory: only then may a row name them."""
    file = _open_locked(source, os.O_RDWR)
    try:
        received = os.fstat(file).st_size
        if received < size:
            raise _lost(source)
        if received > size:
            os.ftruncate(file, size)
        os.fsync(file)
        os.rename(source, target)
    except FileNotFoundError:  # It was cancelled a moment ago.
        raise _lost(source) from None
    finally:
        os.close(file)
    _sync_folder(target.parent)


def _put(target: Path, content: bytes) -> None:
    """As _commit, for bytes that are here."""
    if not target.parent.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        _sync_folder(target.parent.parent)
    # A name of its own: what a killed process has left is in nobody's way.
    draft = target.with_name(f"{target.name}.{layout.new_part()}.draft")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    try:
        _write_all(file, [content])
        os.fsync(file)
        os.rename(draft, target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    finally:
        os.close(file)
    _sync_folder(target.parent)


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.rename(source, target)
    except FileNotFoundError:
        return
    _sync_folder(target.parent)
    _sync_folder(source.parent)


def _sync_folder(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _listing(directory: Path) -> list[tuple[str, int]]:
    return list(_entries(directory))


def _entries(directory: Path) -> Iterator[tuple[str, int]]:
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                yield entry.name, int(entry.stat().st_mtime * 1000)
            except FileNotFoundError:
                continue


def _check_readable(directory: Path) -> None:
    with os.scandir(directory) as entries:
        next(entries, None)


def _check_writable(directory: Path) -> None:
    if not os.access(directory, os.W_OK | os.X_OK):
        # A disk that is mounted read-only, or became so by an error, says the same as one of somebody else's.
        raise PermissionError(errno.EACCES, "the directory cannot be written", str(directory))
    status = os.statvfs(directory)
    if status.f_bavail * status.f_frsize < FREE_BYTES_MIN:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(directory))
