"""What a worker remembers, for tests of what makes it forget."""

from entrepot.database.caches import Caches
from entrepot.database.changes import ChangeFeed
from entrepot.database.database import Database
from entrepot.database.topics import Topic
from tests.conformance.database.waiting import until


class Watched:
    """A worker's caches with their feed."""

    def __init__(self, database: Database) -> None:
        self.feed: ChangeFeed = database.open_feed()
        self.caches = Caches(
            self.feed, content_bytes_max=1_000_000, accounts_bytes_max=1_000_000, passwords_bytes_max=1_000_000
        )

    async def remember(self, *topics: str) -> None:
        """A fact about each topic, once anything is remembered at all."""
        for topic in topics:
            await until(lambda topic=topic: self._is_kept(topic))

    def knows(self, topic: str) -> bool:
        """As at the start of a request."""
        self.caches.refresh()
        return all(cache.get(Topic(topic), "key") is not None for cache in self.caches.by_kind.values())

    def put(self, topic: str, stamp: int | None = None) -> None:
        if stamp is None:
            stamp = self.caches.stamp()
        for cache in self.caches.by_kind.values():
            cache.put(stamp, Topic(topic), "key", "value", weight=1)

    def _is_kept(self, topic: str) -> bool:
        self.put(topic)
        return self.caches.content.get(Topic(topic), "key") is not None
