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
        self._left: OrderedDict[str, list[float]] = OrderedDict()
        """How many are left, and since when."""

    def take(self, origin: str) -> int:
        """Count one; in how many seconds the next is within the limit, 0 when this one was. It takes a microsecond."""
        now = self._monotonic()
        known = self._left.get(origin)
        if known is None:
            known = self._left[origin] = [self._at_once, now]
            if len(self._left) > ORIGINS_MAX:
                self._left.popitem(last=False)
        else:
            self._left.move_to_end(origin)
        left = known[0] + (now - known[1]) * self._per_second
        known[1] = now
        if left >= 1:
            known[0] = left - 1 if left < self._at_once else self._at_once - 1
            return 0
        known[0] = left
        return math.ceil((1 - left) / self._per_second)
