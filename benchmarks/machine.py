"""The machine the run was on."""

import os
import platform
from pathlib import Path

GIB = 1 << 30


def describe() -> str:
    """Return one line on processor, memory, kernel and Python."""
    cores = len(os.sched_getaffinity(0))
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return (
        f"{cores} cores of {_processor()}, {memory_bytes / GIB:.0f} GiB of memory, {system}, "
        f"Linux {platform.release()}, Python {platform.python_version()}"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
