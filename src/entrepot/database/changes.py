"""Keeps what workers remember true: a cached fact is dropped by the commit that changes it, whoever makes it.

A transaction that changes a fact somebody may remember names its topic (`announce`). SQLite workers ask the database
file whether anybody committed (2 microseconds) before they trust a cached fact, and read the topics if so. PostgreSQL
workers are told by NOTIFY, and trust nothing while they cannot listen.
"""

from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection, delete, func, insert, select, text

from entrepot.database.tables import changes

CHANGES_KEPT = 10_000
"""Announcements kept for workers that have not read them; one that is further behind forgets everything."""
NOTIFY_CHANNEL = "entrepot_changes"

V = TypeVar("V")

_INSERT = insert(changes)
_NOTIFY = text("SELECT pg_notify(:channel, :topic)")


def announce(connection: Connection, topic: str) -> None:
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
    """Where a cache learns what changed."""

    @property
    def trusted(self) -> bool:
        """Whether announcements are arriving now."""
        ...

    def poll(self) -> tuple[str, ...] | None:
        """Topics announced since the last call; None when some were missed and everything must be forgotten."""
        ...


class Cache(Generic[V]):
    """Facts by topic and key. Everything about a topic goes when the topic is announced.

    `refresh` is called once at the start of a request. A fact is stored with the stamp taken before it was read from
    the database, and only if nothing was announced since: otherwise it might be from before the change.
    """

    def __init__(self, feed: ChangeFeed, *, weight_max: int) -> None:
        self._feed = feed
        self._topics: dict[str, dict[Any, V]] = {}
        self._weight = 0
        self._weight_max = weight_max
        self._stamp = 0

    def stamp(self) -> int:
        self.refresh()
        return self._stamp

    def get(self, topic: str, key: Any) -> V | None:
        facts = self._topics.get(topic)
        return facts.get(key) if facts is not None else None

    def put(self, stamp: int, topic: str, key: Any, value: V, weight: int = 1) -> None:
        self.refresh()
        if stamp != self._stamp or not self._feed.trusted:
            return
        if self._weight + weight > self._weight_max:
            self._forget_all()
        self._weight += weight
        self._topics.setdefault(topic, {})[key] = value

    def refresh(self) -> None:
        """Forget what was announced since the last time."""
        topics = self._feed.poll()
        if topics is None:
            self._forget_all()
            self._stamp += 1
        elif topics:
            self._stamp += 1
            for topic in topics:
                # The weight is not given back: it only bounds how much is stored between two clean slates.
                self._topics.pop(topic, None)

    def _forget_all(self) -> None:
        self._topics.clear()
        self._weight = 0
