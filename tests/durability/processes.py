"""The processes of a server, told apart."""

import time
from collections.abc import Sequence
from pathlib import Path

from tests.peers.entrepot import Entrepot
from tests.peers.process import descendants

POLL_SECONDS = 0.02
WAIT_SECONDS_MAX = 60


def is_running(pid: int) -> bool:
    """Not gone, and not waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def is_worker(pid: int) -> bool:
    """Whether it serves requests: the maintenance process is another command."""
    return b"serve" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


def workers(registry: Entrepot) -> list[int]:
    return [pid for pid in descendants(registry.server.pid) if is_worker(pid)]


def wait_for_family(registry: Entrepot, *, workers: int = 2) -> None:
    """Until the workers and the maintenance process are there."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        kinds = [is_worker(pid) for pid in descendants(registry.server.pid) if is_running(pid)]
        # At its very beginning, the maintenance process is a copy of the one that starts it.
        if kinds.count(True) >= workers and False in kinds:
            return
        assert time.monotonic() < deadline
        time.sleep(POLL_SECONDS)


def wait_until_gone(pids: Sequence[int]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while left := [pid for pid in pids if is_running(pid)]:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(POLL_SECONDS)
