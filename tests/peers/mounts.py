"""Directories in which containers ran: what they left mounted goes before the files go."""

import shutil
from pathlib import Path

from tests.peers.process import run


def remove_tree(directory: Path) -> None:
    """Unmount everything below a directory, then delete it."""
    for mount in reversed(_mounts_below(directory)):
        run(["umount", "--lazy", mount])
    shutil.rmtree(directory)


def _mounts_below(directory: Path) -> list[Path]:
    rows = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [Path(row.split()[4]) for row in rows]
    return [point for point in points if directory in point.parents]
