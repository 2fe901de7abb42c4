"""Small disks that a test can fill and break."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.peers.presence import cannot_run, require_program, require_root
from tests.peers.process import ProcessFailed, run


class Disk:
    """A file system of its own, mounted at `path`."""

    def __init__(self, path: Path, image: Path | None = None) -> None:
        self.path = path
        self._image = image or path
        self._filler = path / "filler"

    def fill(self, *, leave_bytes: int = 0) -> None:
        """Use up all the space but this."""
        left = self._filler.stat().st_size if self._filler.exists() else 0
        with self._filler.open("ab") as file:
            while (free := _free_bytes(self.path)) > leave_bytes:
                file.write(bytes(min(free - leave_bytes, 1024 * 1024)))
                file.flush()
        assert self._filler.stat().st_size > left

    def free(self) -> None:
        """Give back what `fill` took."""
        self._filler.unlink()

    def remount(self, mode: str) -> None:
        """`rw`, `ro` where nothing is open for writing, or for an ext4 `abort`: as if the kernel had met an error."""
        run(["mount", "-o", f"remount,{mode}", self.path])

    def mount_again(self) -> None:
        """Take it off, repair it if need be, and mount it, as after the machine has started anew."""
        run(["umount", self.path])
        # Exit status 1: it found something, and mended it.
        subprocess.run(["e2fsck", "-p", str(self._image)], check=False, capture_output=True)
        run(["mount", "-o", "loop,errors=remount-ro", self._image, self.path])

    def make_immutable(self, path: Path, *, immutable: bool) -> None:
        """Have the file system refuse to write to a file, or to change a directory, even where it is open already."""
        run(["chattr", "+i" if immutable else "-i", path])


@contextmanager
def memory_disk(path: Path, *, size_bytes: int) -> Iterator[Disk]:
    """A tmpfs of this size."""
    require_root("mounting")
    path.mkdir(parents=True, exist_ok=True)
    try:
        run(["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "entrepot-test", path])
    except ProcessFailed as error:
        cannot_run(f"mounting a tmpfs is not permitted: {error}", provided_by="a machine where root may mount")
    try:
        yield Disk(path)
    finally:
        run(["umount", "--lazy", path])


@contextmanager
def file_disk(path: Path, image: Path, *, size_bytes: int) -> Iterator[Disk]:
    """An ext4 of this size, in a file."""
    require_root("mounting")
    require_program("chattr", package="e2fsprogs")
    mkfs = require_program("mkfs.ext4", package="e2fsprogs")
    path.mkdir(parents=True, exist_ok=True)
    with image.open("wb") as file:
        file.truncate(size_bytes)
    run([mkfs, "-q", image])
    try:
        run(["mount", "-o", "loop,errors=remount-ro", image, path])
    except ProcessFailed as error:
        cannot_run(f"mounting a file is not permitted: {error}", provided_by="a machine with loop devices")
    try:
        yield Disk(path, image)
    finally:
        run(["umount", "--lazy", path])
        image.unlink()


def _free_bytes(path: Path) -> int:
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize
