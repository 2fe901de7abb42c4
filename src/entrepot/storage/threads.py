"""Threads for work on blobs."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor


def roaming_threads(count_max: int, name: str) -> ThreadPoolExecutor:
    """Threads that run on every processor that this process has now, even if it is kept on one of them later."""
    if sys.platform != "linux":
        return ThreadPoolExecutor(count_max, thread_name_prefix=name)
    everywhere = os.sched_getaffinity(0)
    return ThreadPoolExecutor(
        count_max, thread_name_prefix=name, initializer=os.sched_setaffinity, initargs=(0, everywhere)
    )
