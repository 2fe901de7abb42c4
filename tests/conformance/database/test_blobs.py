import asyncio
import sqlite3
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import Connection, select, text

from entrepot.content import blobs, repositories
from entrepot.content.errors import BlobInUse, BlobUnknown, RepositoryUnknown
from entrepot.content.tables import repository_blobs
from entrepot.database.database import Database
from entrepot.database.statements import Statement
from entrepot.oci.digest import Digest
from entrepot.oci.name import RepositoryName
from entrepot.storage.store import StoredBlob
from tests.conformance.database.content import NOW_MS, REPOSITORY, blob, image, link, push_image

pytestmark = pytest.mark.anyio

OTHER = RepositoryName("other/app")


async def test_recorded_blob_is_found_in_its_repository_only(database: Database) -> None:
    stored = blob(b"content")

    assert await database.write(blobs.record, REPOSITORY, stored, NOW_MS) == stored
    await database.write(repositories.ensure, OTHER, NOW_MS)
    assert await database.read(blobs.find, REPOSITORY, stored.digest) == stored
    assert await database.read(blobs.find, OTHER, stored.digest) is None
    assert await database.read(blobs.find, RepositoryName("no/such"), stored.digest) is None


@pytest.mark.parametrize("size", [0, 2**31, 2**53 + 1, 2**63 - 1])
async def test_size_of_any_blob_fits(database: Database, size: int) -> None:
    stored = replace(blob(b"content"), size=size)
    await database.write(blobs.record, REPOSITORY, stored, NOW_MS)

    assert await database.read(blobs.find, REPOSITORY, stored.digest) == stored


@pytest.mark.parametrize("content", [b"", b"content", b"\x00\xff" * 60_000], ids=["empty", "text", "large"])
async def test_small_blob_is_kept_with_its_record(database: Database, content: bytes) -> None:
    stored = StoredBlob(Digest.of(content), len(content), None, content)
    assert await database.write(blobs.record, REPOSITORY, stored, NOW_MS) == stored
    await database.write(blobs.record, REPOSITORY, StoredBlob(Digest.of(b"other"), 5, None, b"other"), NOW_MS)

    assert await database.read(blobs.find, REPOSITORY, stored.digest) == stored
    assert await database.write(blobs.link, OTHER, stored.digest, NOW_MS) == stored


async def test_both_algorithms(database: Database) -> None:
    for algorithm in ("sha256", "sha512"):
        stored = replace(blob(b"content"), digest=Digest.of(b"content", algorithm))
        await database.write(blobs.record, REPOSITORY, stored, NOW_MS)
        assert await database.read(blobs.find, REPOSITORY, stored.digest) == stored


async def test_second_copy_is_not_needed_and_its_repository_reads_the_first(database: Database) -> None:
    first, second = blob(b"content"), blob(b"content")
    await database.write(blobs.record, REPOSITORY, first, NOW_MS)

    assert await database.write(blobs.record, OTHER, second, NOW_MS) == first
    assert await database.read(blobs.find, OTHER, first.digest) == first


async def test_blob_of_others_takes_the_statements_of_a_new_one(database: Database) -> None:
    """So that the time of a push tells nobody what others have."""

    named = {id(value): name for name, value in vars(blobs).items() if isinstance(value, Statement)}
    execute = Statement._execute

    def statements(connection: Connection, stored: StoredBlob) -> list[str | None]:
        found: list[str | None] = []

        def noted(self: Statement, connection: Connection, values: dict[str, object]) -> object:
            found.append(named.get(id(self)))
            return execute(self, connection, values)

        with pytest.MonkeyPatch.context() as patches:
            patches.setattr(Statement, "_execute", noted)
            blobs.record(connection, OTHER, stored, NOW_MS)
        return found

    await database.write(repositories.ensure, OTHER, NOW_MS)
    await database.write(link, REPOSITORY, b"content")
    of_others, new = blob(b"content"), blob(b"other content")
    assert await database.write(statements, of_others) == await database.write(statements, new) != []


async def test_copies_recorded_by_many_at_once_leave_one(database: Database, other: Database) -> None:
    copies = [blob(b"content") for _ in range(24)]
    workers = (database, other) * 12
    recorded = await asyncio.gather(
        *(
            worker.write(blobs.record, RepositoryName(f"repository/{number % 5}"), copy, NOW_MS)
            for number, (worker, copy) in enumerate(zip(workers, copies, strict=True))
        )
    )

    kept = list(set(recorded))
    assert len(kept) == 1
    assert kept[0] in copies
    for number in range(5):
        assert await database.read(blobs.find, RepositoryName(f"repository/{number}"), kept[0].digest) == kept[0]


async def test_holders_are_the_repositories_that_have_it(database: Database) -> None:
    await database.write(link, REPOSITORY, b"content")
    await database.write(link, OTHER, b"content")
    await database.write(link, RepositoryName("third/app"), b"other content")

    assert await database.read(blobs.holders, Digest.of(b"content")) == [REPOSITORY, OTHER]
    assert await database.read(blobs.holders, Digest.of(b"nothing")) == []


async def test_link_and_unlink(database: Database) -> None:
    stored = blob(b"content")
    await database.write(blobs.record, REPOSITORY, stored, NOW_MS)
    for _ in range(2):
        assert await database.write(blobs.link, OTHER, stored.digest, NOW_MS) == stored

    await database.write(blobs.unlink, REPOSITORY, stored.digest)
    assert await database.read(blobs.find, REPOSITORY, stored.digest) is None
    assert await database.read(blobs.find, OTHER, stored.digest) == stored
    with pytest.raises(BlobUnknown):
        await database.write(blobs.unlink, REPOSITORY, stored.digest)


async def test_link_remembers_when_it_was_last_used_within_minutes(database: Database) -> None:
    def used_at_ms(connection: Connection) -> int:
        return connection.execute(select(repository_blobs.c.used_at_ms)).scalar_one()

    stored = blob(b"content")
    await database.write(blobs.record, REPOSITORY, stored, NOW_MS)
    uses = (partial(blobs.record, stored=stored), partial(blobs.link, digest=stored.digest))
    for number, use in enumerate(uses):
        known = NOW_MS + number * (blobs.RENEWED_AFTER_MS + 1)
        later = known + blobs.RENEWED_AFTER_MS
        for at_ms, expected in ((known - 1, known), (later, known), (later + 1, later + 1)):
            await database.write(partial(use, repository=REPOSITORY, now_ms=at_ms))
            assert await database.read(used_at_ms) == expected


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_blobs_of_a_manifest_are_found_without_reading_the_whole_repository(database: Database) -> None:
    def steps_to_find(connection: Connection) -> int:
        repository_id = connection.execute(text("SELECT id FROM repositories")).scalar_one()
        steps = 0

        def count() -> None:
            nonlocal steps
            steps += 1

        driver_connection = connection.connection.driver_connection
        assert isinstance(driver_connection, sqlite3.Connection)
        driver_connection.set_progress_handler(count, 1)
        try:
            assert len(blobs.linked(connection, repository_id, [stored.digest])) == 1
        finally:
            driver_connection.set_progress_handler(None, 0)
        return steps

    def fill(connection: Connection) -> None:
        for number in range(200):
            blobs.record(connection, REPOSITORY, blob(b"%d" % number), NOW_MS)

    stored = blob(b"content")
    await database.write(blobs.record, REPOSITORY, stored, NOW_MS)
    before = await database.read(steps_to_find)
    await database.write(fill)
    assert await database.read(steps_to_find) == before


async def test_what_is_not_there_cannot_be_linked_or_unlinked(database: Database) -> None:
    with pytest.raises(BlobUnknown):
        await database.write(blobs.link, REPOSITORY, Digest.of(b"nothing"), NOW_MS)
    with pytest.raises(RepositoryUnknown):
        await database.write(blobs.unlink, REPOSITORY, Digest.of(b"nothing"))
    assert await database.read(repositories.find, REPOSITORY) is None


async def test_blob_that_a_manifest_needs_stays(database: Database) -> None:
    await database.write(push_image, image(b"config", [b"layer"]))

    for content in (b"config", b"layer"):
        with pytest.raises(BlobInUse):
            await database.write(blobs.unlink, REPOSITORY, Digest.of(content))
        assert await database.read(blobs.find, REPOSITORY, Digest.of(content)) is not None


async def test_damaged_bytes_are_replaced_once(database: Database) -> None:
    damaged, first, second = blob(b"content"), blob(b"content"), blob(b"content")
    await database.write(blobs.record, REPOSITORY, damaged, NOW_MS)

    assert await database.write(blobs.replace, damaged, first)
    assert not await database.write(blobs.replace, damaged, second)
    assert await database.read(blobs.find, REPOSITORY, damaged.digest) == first


async def test_damaged_bytes_are_replaced_by_ones_kept_with_the_record(database: Database) -> None:
    """As when the limit for small blobs was raised since they were pushed."""
    damaged = blob(b"content")
    whole = StoredBlob(damaged.digest, 7, None, b"content")
    await database.write(blobs.record, REPOSITORY, damaged, NOW_MS)

    assert await database.write(blobs.replace, damaged, whole)
    assert await database.read(blobs.find, REPOSITORY, damaged.digest) == whole


async def test_known_locations(database: Database) -> None:
    recorded = [blob(number.to_bytes(4, "big")) for number in range(300)]
    for stored in recorded:
        await database.write(blobs.record, REPOSITORY, stored, NOW_MS, durable=False)
    locations = [stored.location for stored in recorded] + [f"uploads/unknown.{number}" for number in range(300)]

    known = await database.read(blobs.known_locations, locations)
    assert known == {stored.location for stored in recorded}
    assert await database.read(blobs.known_locations, []) == set()
