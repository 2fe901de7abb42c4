"""What a worker remembers is forgotten by the commit that changes it, whichever process makes it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Connection, text

from entrepot.content import blobs, manifests, tags
from entrepot.database import changes, topics
from entrepot.database.changes import CHANGES_KEPT, announce
from entrepot.database.database import Database
from entrepot.identity import users
from entrepot.namespaces import namespaces
from entrepot.oci.digest import Digest
from entrepot.oci.name import RepositoryName, Tag
from tests.conformance.database.conftest import POSTGRESQL, SQLITE
from tests.conformance.database.content import NOW_MS, REPOSITORY, blob, digest_of, image, link, push_image
from tests.conformance.database.remembering import Watched
from tests.conformance.database.waiting import until

pytestmark = pytest.mark.anyio

OTHER = RepositoryName("other/app")
TOPIC = "a topic"


@pytest.fixture
async def watched(database: Database) -> Watched:
    return Watched(database)


class Superuser:
    """Somebody with power over the PostgreSQL server, connected to another database of it."""

    def __init__(self, connection: psycopg.AsyncConnection[tuple[int]], database: str) -> None:
        self._connection = connection
        self._database = database

    async def listeners(self) -> list[int]:
        """The processes of the connections that listen."""
        answer = await self._connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name <> 'entrepot'", [self._database]
        )
        return [pid for (pid,) in await answer.fetchall()]

    async def end_listeners(self) -> None:
        for pid in await self.listeners():
            await self._connection.execute("SELECT pg_terminate_backend(%s)", [pid])

    async def allow_connections(self, allowed: bool) -> None:
        name = sql.Identifier(self._database)
        await self._connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(name, allowed))


@pytest.fixture
async def superuser(backend: str, url: str) -> AsyncIterator[Superuser]:
    assert backend == POSTGRESQL
    server, _, name = url.rpartition("/")
    async with await psycopg.AsyncConnection.connect(f"{server}/postgres", autocommit=True) as connection:
        yield Superuser(connection, name)


async def test_fact_is_remembered_until_its_topic_is_announced(watched: Watched, other: Database) -> None:
    await watched.remember(TOPIC, "another topic")
    assert watched.knows(TOPIC)

    await other.write(announce, TOPIC)
    await until(lambda: not watched.knows(TOPIC))
    assert watched.knows("another topic")
    await watched.remember(TOPIC)


async def test_own_commit_counts_too(watched: Watched, database: Database) -> None:
    await watched.remember(TOPIC)
    await database.write(announce, TOPIC, durable=False)

    await until(lambda: not watched.knows(TOPIC))


async def test_every_worker_forgets(database: Database, other: Database) -> None:
    workers = [Watched(database), Watched(database), Watched(other), Watched(other)]
    for worker in workers:
        await worker.remember(TOPIC)
    await other.write(announce, TOPIC)

    for worker in workers:
        await until(lambda worker=worker: not worker.knows(TOPIC))


async def test_transaction_that_fails_announces_nothing(watched: Watched, database: Database) -> None:
    await watched.remember(TOPIC, "last topic")

    def fail(connection: Connection) -> None:
        announce(connection, TOPIC)
        raise ValueError("rolled back")

    with pytest.raises(ValueError, match="rolled back"):
        await database.write(fail)
    await database.write(announce, "last topic")
    await until(lambda: not watched.knows("last topic"))
    assert watched.knows(TOPIC)


async def test_value_read_before_a_change_that_is_known_is_not_stored(watched: Watched, other: Database) -> None:
    await watched.remember(TOPIC)
    stamp = watched.caches.stamp()
    await other.write(announce, TOPIC)
    await until(lambda: watched.caches.stamp() != stamp)

    watched.put(TOPIC, stamp)
    assert not watched.knows(TOPIC)


async def test_value_read_before_a_change_is_not_served_after_it(watched: Watched, other: Database) -> None:
    """The news may arrive after the stale value was stored."""
    await watched.remember(TOPIC)
    stamp = watched.caches.stamp()
    await other.write(announce, TOPIC)
    watched.put(TOPIC, stamp)

    await until(lambda: not watched.knows(TOPIC))


async def test_many_changes_at_once_are_all_heard_of(watched: Watched, database: Database, other: Database) -> None:
    many = [f"topic {number}" for number in range(200)]
    await watched.remember(*many, "untouched")

    await asyncio.gather(
        *(worker.write(announce, topic) for worker, topic in zip((database, other) * 100, many, strict=True))
    )
    await until(lambda: not any(watched.knows(topic) for topic in many))
    assert watched.knows("untouched")


async def test_longest_topic(watched: Watched, other: Database) -> None:
    topic = topics.content(RepositoryName("a" * 255))
    await watched.remember(topic)
    await other.write(announce, topic)

    await until(lambda: not watched.knows(topic))


async def test_pruning_keeps_what_workers_may_still_read(database: Database, other: Database) -> None:
    behind = Watched(database)
    await behind.remember("untouched", "topic 5")
    await other.write(_announce_many, 1_000)
    await other.write(changes.prune)

    await until(lambda: not behind.knows("topic 5"))
    assert behind.knows("untouched")


async def test_feed_that_opens_after_everything_was_pruned(database: Database, other: Database) -> None:
    await other.write(_announce_many, 5)
    await other.write(lambda connection: connection.execute(changes.changes.delete()) and None)
    watched = Watched(database)
    await watched.remember(TOPIC, "untouched")
    await other.write(announce, TOPIC)

    await until(lambda: not watched.knows(TOPIC))
    assert watched.knows("untouched")


def _announce_many(connection: Connection, count: int) -> None:
    for number in range(count):
        announce(connection, f"topic {number}")


# Which operation makes which facts forgotten.

FIRST, SECOND = image(b"first"), image(b"second")
DAMAGED = blob(b"in both")


def _set_up(connection: Connection) -> None:
    push_image(connection, FIRST, "v1")
    push_image(connection, SECOND)
    link(connection, REPOSITORY, b"unneeded")
    blobs.record(connection, REPOSITORY, DAMAGED, NOW_MS)
    blobs.link(connection, OTHER, DAMAGED.digest, NOW_MS)
    users.add_administrator(connection, "admin", "hash", NOW_MS)
    namespaces.set_public(connection, "team", True, NOW_MS)


OPERATIONS: dict[str, tuple[tuple[str, ...], Callable[[Connection], object]]] = {
    "tag moves": ((topics.content(REPOSITORY),), lambda c: push_image(c, SECOND, "v1")),
    "tag is removed": ((topics.content(REPOSITORY),), lambda c: tags.remove(c, REPOSITORY, Tag("v1"))),
    "manifest is removed": (
        (topics.content(REPOSITORY),),
        lambda c: manifests.remove(c, REPOSITORY, digest_of(FIRST)),
    ),
    "blob is unlinked": (
        (topics.content(REPOSITORY),),
        lambda c: blobs.unlink(c, REPOSITORY, Digest.of(b"unneeded")),
    ),
    "bytes are replaced": (
        (topics.content(REPOSITORY), topics.content(OTHER)),
        lambda c: blobs.replace(c, DAMAGED, blob(b"in both")),
    ),
    "password changes": ((topics.USERS,), lambda c: users.set_password(c, "admin", "new hash")),
    "user is added": ((topics.USERS,), lambda c: users.add_administrator(c, "second", "hash", NOW_MS)),
    "namespace becomes private": ((topics.NAMESPACES,), lambda c: namespaces.set_public(c, "team", False, NOW_MS)),
    "namespace inherits": ((topics.NAMESPACES,), lambda c: namespaces.inherit(c, "team")),
}
UNTOUCHED = "another topic"


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_operation_makes_workers_forget_what_it_changes(
    database: Database, other: Database, operation: str
) -> None:
    announced, change = OPERATIONS[operation]
    await database.write(_set_up)
    watched = Watched(database)
    everything = {topics.content(REPOSITORY), topics.content(OTHER), topics.USERS, topics.NAMESPACES, UNTOUCHED}
    await watched.remember(*sorted(everything))

    await other.write(change)
    await until(lambda: not any(watched.knows(topic) for topic in announced))
    assert {topic for topic in everything if watched.knows(topic)} == everything - set(announced)


# The connection that listens.


@pytest.mark.parametrize("backend", [POSTGRESQL], indirect=True)
async def test_nothing_is_trusted_while_the_listening_connection_is_down(
    watched: Watched, other: Database, superuser: Superuser
) -> None:
    await watched.remember(TOPIC)
    await superuser.allow_connections(False)
    await superuser.end_listeners()
    await until(lambda: not watched.feed.trusted)

    assert not watched.knows(TOPIC)
    watched.put(TOPIC)
    assert not watched.knows(TOPIC)
    await superuser.allow_connections(True)
    await watched.remember(TOPIC)
    await other.write(announce, TOPIC)
    await until(lambda: not watched.knows(TOPIC))


@pytest.mark.parametrize("backend", [POSTGRESQL], indirect=True)
async def test_change_that_was_missed_while_reconnecting_is_not_served(
    watched: Watched, other: Database, superuser: Superuser
) -> None:
    """Nobody asks the cache while the connection is down: it must forget all the same."""
    await watched.remember(TOPIC)
    feed = watched.feed
    await superuser.end_listeners()
    await until(lambda: not feed.trusted)
    await other.write(announce, TOPIC)
    await until(lambda: feed.trusted)

    assert not watched.knows(TOPIC)


@pytest.mark.parametrize("backend", [POSTGRESQL], indirect=True)
async def test_connection_that_is_silent_is_not_trusted(watched: Watched, superuser: Superuser) -> None:
    """As when a network is cut, and nobody hears that the connection is dead."""
    await watched.remember(TOPIC)
    (pid,) = await superuser.listeners()
    os.kill(pid, signal.SIGSTOP)
    try:
        await until(lambda: not watched.feed.trusted)
        assert not watched.knows(TOPIC)
    finally:
        os.kill(pid, signal.SIGCONT)
    await watched.remember(TOPIC)


@pytest.mark.parametrize("backend", [SQLITE], indirect=True)
async def test_sqlite_is_always_trusted_and_knows_at_once(watched: Watched, other: Database) -> None:
    assert watched.feed.trusted
    watched.put(TOPIC)
    assert watched.knows(TOPIC)
    await other.write(announce, TOPIC)

    assert not watched.knows(TOPIC)


@pytest.mark.parametrize("backend", [SQLITE], indirect=True)
async def test_sqlite_worker_that_is_far_behind_forgets_everything(watched: Watched, other: Database) -> None:
    watched.put("untouched")
    await other.write(_announce_many, CHANGES_KEPT + 10)
    assert watched.knows("untouched")
    await other.write(_announce_many, CHANGES_KEPT + 10)
    await other.write(changes.prune)
    assert await other.read(lambda connection: connection.execute(text("SELECT count(*) FROM changes")).scalar()) == (
        CHANGES_KEPT
    )

    assert not watched.knows("untouched")
