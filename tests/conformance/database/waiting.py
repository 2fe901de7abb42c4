"""Waiting for what happens by itself, and soon."""

import asyncio
from collections.abc import Callable

SECONDS_MAX = 30


async def until(happened: Callable[[], bool]) -> None:
    """Raises TimeoutError when it does not happen at all."""
    async with asyncio.timeout(SECONDS_MAX):
        while not happened():
            await asyncio.sleep(0.02)
