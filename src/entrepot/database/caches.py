"""What a worker remembers: facts that are dropped by the commit that changes them, whoever makes it.

There is one cache for each kind of fact, with a budget of its own, so that much of one kind never pushes out another. A
worker's caches are its own, and die with it; nothing is shared but the news of what changed (`changes.py`).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

from entrepot.database.changes import ChangeFeed
from entrepot.database.topics import Topic

T = TypeVar("T")


class Caches:
    """All caches of a worker, and the news that they are kept true by.

    `refresh` is called once at the start of a request. A fact is stored with the stamp taken before it was read from
    the database, and only if nothing was announced since: otherwise it might be from before the change.
    """

    def __init__(
        self, feed: ChangeFeed, *, content_bytes_max: int, accounts_bytes_max: int, passwords_bytes_max: int
    ) -> None:
        self._feed = feed
        self._stamp = 0
        self.content = Cache(self, content_bytes_max)
        """Manifests and blobs."""
        self.accounts = Cache(self, accounts_bytes_max)
        """Users, their rights, tokens and sessions, what providers said of them, and the visibility of namespaces."""
        self.passwords = Cache(self, passwords_bytes_max)
        """Which passwords were right: what costs the most to find out again, and only who was right can add to."""
        self.by_kind = {"content": self.content, "accounts": self.accounts, "passwords": self.passwords}

    @property
    def trusted(self) -> bool:
        """Whether announcements are arriving now. While they are not, nothing is remembered."""
        return self._feed.trusted

    def refresh(self) -> None:
        """Forget what was announced since the last time."""
        topics = self._feed.poll()
        if topics is None:
            self._stamp += 1
            for cache in self.by_kind.values():
                cache.forget_all()
        elif topics:
            self._stamp += 1
            for topic in topics:
                for cache in self.by_kind.values():
                    cache.forget(topic)

    def stamp(self) -> int:
        self.refresh()
        return self._stamp

    def nothing_changed_since(self, stamp: int) -> bool:
        """Whether what was read since the stamp may be remembered."""
        return self.stamp() == stamp and self._feed.trusted


class _Fact:
    __slots__ = ("key", "topic", "used", "value", "weight")

    def __init__(self, topic: str, key: Hashable, value: Any, weight: int) -> None:
        self.topic = topic
        self.key = key
        self.value = value
        self.weight = weight
        self.used = False


class Cache:
    """Facts by topic and key. Everything about a topic goes when the topic is announced.

    When the budget is used up, facts go in the order in which they came; one that was used meanwhile has a second
    chance (the clock algorithm). That is nearly the one that was used least recently, and a lookup only sets a mark.
    """

    def __init__(self, caches: Caches, bytes_max: int) -> None:
        self._caches = caches
        self._bytes_max = bytes_max
        self._topics: dict[str, dict[Hashable, _Fact]] = {}
        self._queue: OrderedDict[_Fact, None] = OrderedDict()
        """In the order in which they are looked at when there is no room. Facts are told apart by identity."""
        self._loading: dict[tuple[str, Hashable], asyncio.Event] = {}
        self.bytes = 0
        self.hits = 0
        self.misses = 0
        self.evictions = 0

    async def remember(
        self,
        topic: Topic,
        key: Hashable,
        load: Callable[[], Awaitable[T]],
        weight: int | Callable[[Any], int],
        holds: Callable[[T], bool] | None = None,
    ) -> T:
        """The fact, or what `load` returns, which is remembered unless it is None.

        `weight` is what remembering it costs, roughly, in bytes. A fact for which `holds` is false is loaded again. Of
        many who want the same fact at once, one loads it and the others wait.
        """
        known: T | None = self.get(topic, key)
        if known is not None and (holds is None or holds(known)):
            return known
        wanted = (topic, key)
        under_way = self._loading.get(wanted)
        if under_way is not None and self._caches.trusted:
            await under_way.wait()
            # Not there if something was announced meanwhile: then it was read too early for who came later.
            known = self.get(topic, key)
            if known is not None and (holds is None or holds(known)):
                return known
        stamp = self._caches.stamp()
        done = self._loading[wanted] = asyncio.Event()
        try:
            value = await load()
            if value is not None:
                self.put(stamp, topic, key, value, weight if isinstance(weight, int) else weight(value))
            return value
        finally:
            done.set()
            if self._loading.get(wanted) is done:
                del self._loading[wanted]

    def get(self, topic: Topic, key: Hashable) -> Any:
        """The fact, or None."""
        facts = self._topics.get(topic)
        if facts is None or (fact := facts.get(key)) is None:
            self.misses += 1
            return None
        self.hits += 1
        fact.used = True
        return fact.value

    def put(self, stamp: int, topic: Topic, key: Hashable, value: object, weight: int) -> None:
        """Remember what was found out since the stamp was taken."""
        if not self._caches.nothing_changed_since(stamp) or weight > self._bytes_max:
            return
        if (former := self._topics.get(topic, {}).get(key)) is not None:
            self._drop(former)
        self._make_room(weight)
        fact = self._topics.setdefault(topic, {})[key] = _Fact(topic, key, value, weight)
        self._queue[fact] = None
        self.bytes += weight

    def forget(self, topic: str) -> None:
        for fact in self._topics.pop(topic, {}).values():
            del self._queue[fact]
            self.bytes -= fact.weight

    def forget_all(self) -> None:
        self._topics.clear()
        self._queue.clear()
        self.bytes = 0

    def _make_room(self, weight: int) -> None:
        while self.bytes + weight > self._bytes_max:
            fact = next(iter(self._queue))
            if fact.used:
                fact.used = False
                self._queue.move_to_end(fact)
            else:
                self._drop(fact)
                self.evictions += 1

    def _drop(self, fact: _Fact) -> None:
        facts = self._topics[fact.topic]
        del facts[fact.key]
        if not facts:
            del self._topics[fact.topic]
        del self._queue[fact]
        self.bytes -= fact.weight
