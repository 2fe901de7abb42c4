"""Whether this worker can serve: its database answers and its store can be written."""

import asyncio

from sqlalchemy import Connection, text

from entrepot.app import App
from entrepot.errors import Unavailable

CHECK_SECONDS = 5


async def check(app: App) -> None:
    """Raises Unavailable, after CHECK_SECONDS at the latest."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await app.database.read(_ping)
            await app.store.ready()
    except TimeoutError:
        raise Unavailable(f"the database or the storage has not answered within {CHECK_SECONDS} s") from None


def _ping(connection: Connection) -> None:
    connection.execute(text("SELECT 1")).scalar_one()
