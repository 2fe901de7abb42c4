"""Time, in one place so that it can be injected."""

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Answers the present as milliseconds since the Unix epoch, UTC."""


def system_clock() -> int:
    return time.time_ns() // 1_000_000
