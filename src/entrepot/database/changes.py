"""Keeps what workers remember true: a cached fact is dropped by the commit that changes it, whoever makes it.

A transaction that changes a fact somebody may remember names its topic (`announce`; all topics are in `topics.py`).
SQLite workers ask the database file whether anybody committed (2 microseconds) before they trust a cached fact, and
read the topics if so. PostgreSQL workers are told by NOTIFY, and trust nothing while they cannot listen.
"""

from typing import Protocol

from sqlalchemy import Connection, delete, func, insert, select, text

from entrepot.database.tables import changes
from entrepot.database.topics import Topic

CHANGES_KEPT = 10_000
"""Announcements kept for workers that have not read them; one that is further behind forgets everything."""
NOTIFY_CHANNEL = "entrepot_changes"

_INSERT = insert(changes)
_NOTIFY = text("SELECT pg_notify(:channel, :topic)")


def announce(connection: Connection, topic: Topic) -> None:
    """Part of the transaction: whoever remembers something about this topic forgets it once this is committed."""
    if connection.dialect.name == "postgresql":
        connection.execute(_NOTIFY, {"channel": NOTIFY_CHANNEL, "topic": topic})
    else:
        connection.execute(_INSERT, {"topic": topic})


def prune(connection: Connection) -> None:
    """Remove announcements that every worker has read or will never read."""
    newest = connection.execute(select(func.max(changes.c.id))).scalar()
    if newest is not None:
        connection.execute(delete(changes).where(changes.c.id <= newest - CHANGES_KEPT))


class ChangeFeed(Protocol):
    """Where a worker's caches learn what changed."""

    @property
    def trusted(self) -> bool:
        """Whether announcements are arriving now."""
        ...

    def poll(self) -> tuple[str, ...] | None:
        """Topics announced since the last call; None when some were missed and everything must be forgotten."""
        ...
