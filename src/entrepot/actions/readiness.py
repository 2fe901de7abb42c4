"""Whether this worker can serve: its database answers and its store can be written."""

from sqlalchemy import Connection, text

from entrepot.app import App


async def check(app: App) -> None:
    """Raises Unavailable."""
    await app.database.read(_ping)
    await app.store.ready()


def _ping(connection: Connection) -> None:
    connection.execute(text("SELECT 1")).scalar_one()
