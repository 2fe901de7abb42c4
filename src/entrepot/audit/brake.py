"""How many failures of one origin are written down one by one: the first ones, and then a few every minute.

In the memory of each worker: it keeps the log from growing, and decides nothing about who is right.
"""

import time
from collections import OrderedDict
from collections.abc import Callable

PER_SECOND = 0.5
ORIGINS_MAX = 10_000
"""The one that was quiet for longest is forgotten first."""


class Brake:
    """A token bucket for each origin: an address, a network, a user."""

    def __init__(self, at_once: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._at_once = at_once
        self._monotonic = monotonic
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, origin: str) -> int:
        """Count one failure; for how many seconds there were too many of them, 0 when there were not."""
        now = self._monotonic()
        left, since = self._left.pop(origin, (float(self._at_once), now))
        left = min(self._at_once, left + (now - since) * PER_SECOND)
        within = left >= 1
        self._left[origin] = (left - 1 if within else left), now
        if len(self._left) > ORIGINS_MAX:
            self._left.popitem(last=False)
        return 0 if within else max(1, round((1 - left) / PER_SECOND))
