"""Keeps the host's memory management out of the figures."""

import os
from pathlib import Path

from benchmarks.content import BLOCK


def warm(directory: Path, size_bytes: int) -> None:
    """Leave free pages behind that the machine's memory really backs.

    On a virtual machine whose host takes back free pages, the first write to a page costs ten times the copy; who
    writes 512 MiB next would pay for that. A file written and removed leaves pages that are already there.
    """
    os.sync()
    scratch = directory / "scratch"
    with scratch.open("wb", buffering=0) as file:
        for _ in range(0, size_bytes, len(BLOCK)):
            file.write(BLOCK)
    scratch.unlink()
