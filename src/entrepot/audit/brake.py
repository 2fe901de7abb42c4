"""How much of something one origin may: some at once, and then so many a second.

Failures are written down one by one as long as they are within it; requests are answered. In the memory of each worker:
it decides nothing about who is right.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

PER_SECOND = 0.5
"""Of failures."""
ORIGINS_MAX = 10_000
"""The one that was quiet for longest is forgotten first."""


class Brake:
    """A token bucket for each origin: an address, a network, a user."""

    def __init__(
        self, at_once: int, monotonic: Callable[[], float] = time.monotonic, per_second: float = PER_SECOND
    ) -> None:
        self._at_once = at_once
        self._per_second = per_second
        self._monotonic = monotonic
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, origin: str) -> int:
        """Count one; in how many seconds the next is within the limit, 0 when this one was. It takes a microsecond."""
        now = self._monotonic()
        left, since = self._left.pop(origin, (float(self._at_once), now))
        left = min(self._at_once, left + (now - since) * self._per_second)
        within = left >= 1
        self._left[origin] = (left - 1 if within else left), now
        if len(self._left) > ORIGINS_MAX:
            self._left.popitem(last=False)
        return 0 if within else math.ceil((1 - left) / self._per_second)
