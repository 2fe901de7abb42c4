"""What the main process knows of the processes that it keeps going, in memory that its workers share; and their end."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Mapping
from multiprocessing.sharedctypes import RawValue

WORKER, MAINTENANCE = "worker", "maintenance"
GONE_SECONDS_MAX = 30.0
"""How long there may be no maintenance before anybody is told: one that ends is started again within seconds."""
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class Processes:
    """Made before the workers are, and written by the main process only. Times are on the monotonic clock."""

    def __init__(self) -> None:
        self._stopping = RawValue(ctypes.c_bool, False)
        self._restarts = {process: RawValue(ctypes.c_ulong, 0) for process in (WORKER, MAINTENANCE)}
        self._gone_since = RawValue(ctypes.c_double, 0.0)

    def is_stopping(self) -> bool:
        """Whether this server was told to end."""
        return self._stopping.value

    def stop(self) -> None:
        self._stopping.value = True

    def restarts(self) -> Mapping[str, int]:
        """How often a process of each kind had to be started again because it had ended by itself."""
        return {process: count.value for process, count in self._restarts.items()}

    def restarted(self, process: str) -> None:
        self._restarts[process].value += 1

    def is_maintained(self) -> bool:
        """Whether there is a maintenance process, or was one a moment ago."""
        since: float = self._gone_since.value
        return not since or time.monotonic() - since < GONE_SECONDS_MAX

    def maintenance_is_gone(self) -> None:
        self._gone_since.value = self._gone_since.value or time.monotonic()

    def maintenance_works(self) -> None:
        self._gone_since.value = 0.0


def die_with(parent: int) -> None:
    """Have the kernel end this process at once when its parent is gone, however that happened (Linux).

    Nobody is left then to see that it ends in time; a request that is cut off was not acknowledged, and an upload can
    be resumed.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # Gone before the kernel knew of this.
            os._exit(1)


def ending(exit_status: int | None) -> str:
    """How a process ended, from its exit status; that of a signal is negative."""
    if exit_status is None:
        return "for an unknown reason"
    if exit_status >= 0:
        return f"with status {exit_status}"
    try:
        return f"by {signal.Signals(-exit_status).name}"
    except ValueError:
        return f"by signal {-exit_status}"
