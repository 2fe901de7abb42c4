"""Caches: what is forgotten when there is no room, and what many who ask at once get."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from entrepot.database import topics
from entrepot.database.caches import Cache, Caches
from entrepot.database.topics import Topic
from entrepot.oci.name import is_repository_name

pytestmark = pytest.mark.anyio

TOPIC = topics.content("team/app")
OTHER = topics.content("team/other")


class Feed:
    """What was announced, as the test says."""

    def __init__(self) -> None:
        self.trusted = True
        self.announced: list[str] = []
        self.missed = False

    def poll(self) -> tuple[str, ...] | None:
        if self.missed or not self.trusted:
            return None
        announced = tuple(self.announced)
        self.announced.clear()
        return announced


@pytest.fixture
def feed() -> Feed:
    return Feed()


@pytest.fixture
def caches(feed: Feed) -> Caches:
    return Caches(feed, content_bytes_max=10, accounts_bytes_max=10, passwords_bytes_max=10)


@pytest.fixture
def cache(caches: Caches) -> Cache:
    return caches.content


def put(caches: Caches, key: str, weight: int = 1, topic: Topic = TOPIC) -> None:
    caches.content.put(caches.stamp(), topic, key, key.upper(), weight)


def known(cache: Cache, keys: str, topic: Topic = TOPIC) -> str:
    return "".join(key for key in keys if cache.get(topic, key) is not None)


class Loads:
    """Loads that end when the test says so."""

    def __init__(self) -> None:
        self.begun: list[asyncio.Future[str | None]] = []

    async def __call__(self) -> str | None:
        load: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self.begun.append(load)
        return await load


async def ask(cache: Cache, load: Callable[[], Awaitable[str | None]]) -> "asyncio.Task[str | None]":
    """Somebody who asks, and has got as far as is possible for now."""
    task = asyncio.create_task(cache.remember(TOPIC, "key", load, 1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


# Room.


def test_facts_are_remembered_as_long_as_there_is_room(caches: Caches, cache: Cache) -> None:
    for key in "abcdefghij":
        put(caches, key)

    assert (cache.bytes, cache.evictions) == (10, 0)
    assert known(cache, "abcdefghij") == "abcdefghij"
    assert (cache.hits, cache.misses) == (10, 0)
    put(caches, "j", 1)
    assert (cache.bytes, cache.evictions) == (10, 0)


def test_the_first_that_came_goes_first_unless_it_was_used(caches: Caches, cache: Cache) -> None:
    for key in "abcdefghij":
        put(caches, key)
    assert cache.get(TOPIC, "a") == "A"
    put(caches, "k")
    put(caches, "l")

    assert (cache.bytes, cache.evictions) == (10, 2)
    assert known(cache, "abc") == "a"
    # If it is not used again, it goes the next time.
    for number in range(20):
        put(caches, str(number))
    assert known(cache, "a") == ""


def test_burst_does_not_push_out_what_is_in_use(caches: Caches, cache: Cache) -> None:
    put(caches, "a", 3)
    for number in range(1000):
        assert cache.get(TOPIC, "a") is not None
        put(caches, str(number), topic=topics.content(f"burst/{number}"))

    assert cache.bytes == 10


def test_all_are_used_and_one_goes_all_the_same(caches: Caches, cache: Cache) -> None:
    for key in "abcdefghij":
        put(caches, key)
    assert known(cache, "abcdefghij") == "abcdefghij"
    put(caches, "k", 2)

    assert known(cache, "abcdefghijk") == "cdefghijk"


def test_fact_that_is_heavier_than_all_room_pushes_nothing_out(caches: Caches, cache: Cache) -> None:
    put(caches, "a", 10)
    put(caches, "b", 11)

    assert known(cache, "ab") == "a"


def test_kinds_do_not_push_each_other_out(caches: Caches) -> None:
    caches.passwords.put(caches.stamp(), topics.RIGHT_PASSWORDS, "alice", "hash", 10)
    caches.accounts.put(caches.stamp(), topics.USERS, "alice", "user", 10)
    for key in "abcdefghijklmnopqrstuvw":
        put(caches, key)

    assert caches.passwords.get(topics.RIGHT_PASSWORDS, "alice") == "hash"
    assert caches.accounts.get(topics.USERS, "alice") == "user"


def test_what_is_announced_gives_its_room_back_in_every_cache(feed: Feed, caches: Caches, cache: Cache) -> None:
    put(caches, "a", 4)
    put(caches, "b", 4)
    put(caches, "a", 2, OTHER)
    caches.passwords.put(caches.stamp(), TOPIC, "a", "A", 5)
    feed.announced.append(TOPIC)
    caches.refresh()

    assert (cache.bytes, caches.passwords.bytes) == (2, 0)
    assert (known(cache, "ab"), known(cache, "a", OTHER)) == ("", "a")
    put(caches, "c", 8)
    assert known(cache, "a", OTHER) == "a"


def test_everything_is_forgotten_when_news_was_missed(feed: Feed, caches: Caches, cache: Cache) -> None:
    put(caches, "a", 10)
    feed.missed = True
    caches.refresh()
    feed.missed = False

    assert (cache.bytes, known(cache, "a")) == (0, "")
    put(caches, "b", 10)
    assert known(cache, "b") == "b"


# Loading.


async def test_fact_is_loaded_once_and_then_remembered(cache: Cache) -> None:
    loaded: list[str] = []

    async def load() -> str:
        loaded.append("")
        return "value"

    assert await cache.remember(TOPIC, "key", load, len) == "value"
    assert await cache.remember(TOPIC, "key", load, len) == "value"
    assert (len(loaded), cache.bytes) == (1, len("value"))
    assert (cache.hits, cache.misses) == (1, 1)


async def test_fact_that_does_not_hold_any_more_is_loaded_again(cache: Cache) -> None:
    async def load() -> str:
        return "new"

    await cache.remember(TOPIC, "key", load, 1)
    assert await cache.remember(TOPIC, "key", load, 1, lambda value: value == "new") == "new"

    async def newer() -> str:
        return "newer"

    assert await cache.remember(TOPIC, "key", newer, 1, lambda value: value != "new") == "newer"
    assert cache.get(TOPIC, "key") == "newer"


async def test_many_who_ask_at_once_have_it_loaded_once(cache: Cache) -> None:
    loads = Loads()
    tasks = [await ask(cache, loads) for _ in range(10)]
    (load,) = loads.begun
    load.set_result("value")

    assert await asyncio.gather(*tasks) == ["value"] * 10
    assert len(loads.begun) == 1


async def test_load_that_was_overtaken_by_a_change_is_only_for_who_asked_before_it(
    feed: Feed, cache: Cache, caches: Caches
) -> None:
    loads = Loads()
    before = await ask(cache, loads)
    feed.announced.append(OTHER)
    caches.refresh()
    after = await ask(cache, loads)
    loads.begun[0].set_result("old")
    assert await before == "old"
    await asyncio.sleep(0)
    loads.begun[1].set_result("new")

    assert await after == "new"
    assert cache.get(TOPIC, "key") == "new"


@pytest.mark.parametrize("how", ["fails", "is cancelled", "finds nothing"])
async def test_who_waited_for_a_load_that_brought_nothing_loads_it_too(cache: Cache, how: str) -> None:
    loads = Loads()
    first = await ask(cache, loads)
    second = await ask(cache, loads)
    if how == "fails":
        loads.begun[0].set_exception(ValueError("broken"))
        with pytest.raises(ValueError, match="broken"):
            await first
    elif how == "is cancelled":
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
    else:
        loads.begun[0].set_result(None)
        assert await first is None
    await asyncio.sleep(0)
    loads.begun[1].set_result("value")

    assert await second == "value"
    assert await cache.remember(TOPIC, "key", loads, 1) == "value"


async def test_who_waits_may_go_without_the_others(cache: Cache) -> None:
    loads = Loads()
    first, second, third = [await ask(cache, loads) for _ in range(3)]
    second.cancel()
    await asyncio.sleep(0)
    loads.begun[0].set_result("value")

    assert (await first, await third) == ("value", "value")
    assert second.cancelled()


async def test_nobody_waits_for_another_ones_load_and_nothing_is_kept_while_news_do_not_arrive(
    feed: Feed, cache: Cache
) -> None:
    feed.trusted = False
    loads = Loads()
    first, second = await ask(cache, loads), await ask(cache, loads)
    loads.begun[0].set_result("first")
    loads.begun[1].set_result("second")

    assert (await first, await second) == ("first", "second")
    assert cache.get(TOPIC, "key") is None


def test_no_topic_is_a_repositorys() -> None:
    others = [value for name, value in vars(topics).items() if name.isupper() and isinstance(value, str)]

    assert len(set(others)) == len(others) >= 9
    assert not any(is_repository_name(topic) for topic in others)
