"""Whatever races, no manifest is left without its blobs: the database itself refuses."""

import asyncio
import threading
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, text

from entrepot.content import blobs, manifests, tags
from entrepot.content.errors import BlobInUse, BlobUnknown, ReferenceUnknown
from entrepot.database.database import Database
from entrepot.database.errors import DatabaseUnavailable
from entrepot.oci.digest import Digest
from entrepot.oci.name import Tag
from tests.conformance.database.conftest import POSTGRESQL
from tests.conformance.database.content import REPOSITORY, digest_of, image, link, push, push_image

pytestmark = pytest.mark.anyio

IMAGE = image(b"config", [b"layer"])
LAYER = Digest.of(b"layer")


def damage(connection: Connection) -> int:
    """Edges to blobs that the repository does not have; tags without a manifest."""
    edges = connection.execute(
        text(
            "SELECT count(*) FROM edges e WHERE blob_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM repository_blobs l"
            " WHERE l.repository_id = e.repository_id AND l.blob_id = e.blob_id)"
        )
    ).scalar_one()
    ends = connection.execute(
        text("SELECT count(*) FROM tags t WHERE NOT EXISTS (SELECT 1 FROM manifests m WHERE m.id = t.manifest_id)")
    ).scalar_one()
    return int(edges) + int(ends)


async def test_push_against_unlink_ends_in_one_of_two_ways(database: Database, other: Database) -> None:
    ends = set()
    for _ in range(30):
        await database.write(link, REPOSITORY, b"config", b"layer", durable=False)
        pushed, unlinked = await asyncio.gather(
            database.write(push, IMAGE, "latest"),
            other.write(blobs.unlink, REPOSITORY, LAYER),
            return_exceptions=True,
        )
        ends.add((type(pushed), type(unlinked)))
        assert await database.read(damage) == 0
        if isinstance(pushed, int):
            await database.write(manifests.remove, REPOSITORY, digest_of(IMAGE))

    assert ends <= {(int, BlobInUse), (ReferenceUnknown, type(None))}


async def test_database_refuses_to_unlink_what_a_manifest_needs(database: Database) -> None:
    """Even when nobody asked whether it is needed."""
    await database.write(push_image, IMAGE)

    for statement in ("DELETE FROM repository_blobs", "DELETE FROM blobs", "DELETE FROM repositories"):
        with pytest.raises(DatabaseUnavailable):
            await database.write(lambda connection, s=statement: connection.execute(text(s)) and None)
    assert await database.read(damage) == 0
    assert await database.read(blobs.find, REPOSITORY, LAYER) is not None


async def test_tag_moves_while_its_manifests_are_removed(database: Database, other: Database) -> None:
    images = [image(str(number).encode()) for number in range(4)]
    for _ in range(10):
        for document in images:
            await database.write(push_image, document, durable=False)
        await asyncio.gather(
            *(database.write(push, document, "latest") for document in images),
            *(other.write(manifests.remove, REPOSITORY, digest_of(document)) for document in images),
            return_exceptions=True,
        )
        assert await database.read(damage) == 0


async def test_tag_is_removed_by_one_of_many(database: Database, other: Database) -> None:
    await database.write(push_image, IMAGE, "latest")
    outcomes = await asyncio.gather(
        *(worker.write(tags.remove, REPOSITORY, Tag("latest")) for worker in (database, other) * 4),
        return_exceptions=True,
    )

    assert sum(outcome is None for outcome in outcomes) == 1


# On PostgreSQL two transactions overlap: each order is forced, one statement after the other.


class Held:
    """A transaction that has done its work and waits with its commit until it is let go."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._go = threading.Event()
        self._first = True

    def hold(self, function: Callable[..., object], *arguments: object) -> Callable[[Connection], object]:
        def held(connection: Connection) -> object:
            answer = function(connection, *arguments)
            if self._first:
                self._first = False
                self._done.set()
                assert self._go.wait(30)
            return answer

        return held

    async def done(self) -> None:
        assert await asyncio.get_running_loop().run_in_executor(None, self._done.wait, 30)

    def let_go(self) -> None:
        self._go.set()


async def blocked(database: Database) -> None:
    """Return once a transaction waits for another one's lock."""

    def waiting(connection: Connection) -> int:
        return int(
            connection.execute(
                text(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
                )
            ).scalar_one()
        )

    async with asyncio.timeout(30):
        while await database.read(waiting) == 0:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("backend", [POSTGRESQL], indirect=True)
async def test_unlink_that_waits_for_a_push_finds_the_blob_in_use(database: Database, other: Database) -> None:
    await database.write(link, REPOSITORY, b"config", b"layer")
    held = Held()
    pushing = asyncio.create_task(database.write(held.hold(push, IMAGE, "latest")))
    await held.done()
    unlinking = asyncio.create_task(other.write(blobs.unlink, REPOSITORY, LAYER))
    await blocked(database)
    held.let_go()

    await pushing
    with pytest.raises(BlobInUse):
        await unlinking
    assert await database.read(damage) == 0


@pytest.mark.parametrize("backend", [POSTGRESQL], indirect=True)
async def test_push_that_waits_for_an_unlink_finds_the_blob_gone(database: Database, other: Database) -> None:
    await database.write(link, REPOSITORY, b"config", b"layer")
    held = Held()
    unlinking = asyncio.create_task(database.write(held.hold(blobs.unlink, REPOSITORY, LAYER)))
    await held.done()
    pushing = asyncio.create_task(other.write(push, IMAGE, "latest"))
    await blocked(database)
    held.let_go()

    await unlinking
    with pytest.raises(ReferenceUnknown):
        await pushing
    assert await database.read(damage) == 0
    assert await database.read(manifests.find, REPOSITORY, Tag("latest")) is None


@pytest.mark.parametrize("backend", [POSTGRESQL], indirect=True)
async def test_second_unlink_that_waits_finds_it_done(database: Database, other: Database) -> None:
    await database.write(link, REPOSITORY, b"layer")
    held = Held()
    first = asyncio.create_task(database.write(held.hold(blobs.unlink, REPOSITORY, LAYER)))
    await held.done()
    second = asyncio.create_task(other.write(blobs.unlink, REPOSITORY, LAYER))
    await blocked(database)
    held.let_go()

    await first
    outcome = (await asyncio.gather(second, return_exceptions=True))[0]
    assert outcome is None or isinstance(outcome, BlobUnknown)


@pytest.mark.parametrize("backend", [POSTGRESQL], indirect=True)
async def test_same_manifest_pushed_while_another_transaction_has_it(database: Database, other: Database) -> None:
    await database.write(link, REPOSITORY, b"config", b"layer")
    held = Held()
    first = asyncio.create_task(database.write(held.hold(push, IMAGE, "first")))
    await held.done()
    second = asyncio.create_task(other.write(push, IMAGE, "second"))
    await blocked(database)
    held.let_go()

    assert await first == await second
    assert await database.read(tags.names, REPOSITORY, "", 10) == ["first", "second"]


@pytest.mark.parametrize("backend", [POSTGRESQL], indirect=True)
async def test_tag_pushed_while_its_manifest_is_removed_brings_it_back(database: Database, other: Database) -> None:
    await database.write(push_image, IMAGE)
    held = Held()
    removing = asyncio.create_task(database.write(held.hold(manifests.remove, REPOSITORY, digest_of(IMAGE))))
    await held.done()
    pushing = asyncio.create_task(other.write(push, IMAGE, "latest"))
    await blocked(database)
    held.let_go()

    await removing
    await pushing
    found = await database.read(manifests.find, REPOSITORY, Tag("latest"))
    assert found is not None
    assert await database.read(damage) == 0


@pytest.mark.parametrize("backend", [POSTGRESQL], indirect=True)
async def test_same_blob_recorded_while_another_transaction_has_it(database: Database, other: Database) -> None:
    held = Held()
    first = asyncio.create_task(database.write(held.hold(link, REPOSITORY, b"layer")))
    await held.done()
    second = asyncio.create_task(other.write(link, REPOSITORY, b"layer"))
    await blocked(database)
    held.let_go()

    await asyncio.gather(first, second)
    assert await database.read(blobs.holders, LAYER) == [REPOSITORY]
