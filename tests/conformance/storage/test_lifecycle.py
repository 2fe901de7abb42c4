"""Maintenance removes what nobody needs from every kind of store, and nothing else."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from entrepot.content import blobs, uploads
from entrepot.content.tables import uploads as uploads_table
from entrepot.content.uploads import UploadSession
from entrepot.database import facts
from entrepot.database.database import Database
from entrepot.database.sqlite import SQLiteDatabase
from entrepot.database.tables import facts as facts_table
from entrepot.lifecycle import garbage, stale_uploads, store_identity
from entrepot.lifecycle.garbage import TooMuchGarbage
from entrepot.lifecycle.store_identity import DatabaseOlder, StoreForeign
from entrepot.migrations import schema
from entrepot.oci.digest import Digest
from entrepot.oci.name import RepositoryName
from entrepot.storage.driver import UploadState
from entrepot.storage.errors import UploadLost
from entrepot.storage.store import BlobStore, StoredBlob
from tests.conformance.storage.bodies import Record, body, content_of, new_upload, stored
from tests.conformance.storage.implementations import Opened, differ_in_writing

pytestmark = [pytest.mark.anyio, differ_in_writing]

REPOSITORY = RepositoryName("team/app")
LONG_AGO_MS = 0
FAR_FUTURE_MS = 2**45
NOBODY = 10
"""How many uploads anybody may have: more than these tests make."""


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    path = tmp_path / "entrepot.db"
    schema.upgrade(f"sqlite:///{path}")
    database = SQLiteDatabase(path)
    yield database
    await database.close()


async def begin(
    database: Database, store: BlobStore, content: bytes, expires_at_ms: int = FAR_FUTURE_MS
) -> UploadState:
    """An unfinished upload, with its row."""
    session = UploadSession(str(uuid.uuid4()), REPOSITORY, "local:admin", 1, "sha256", expires_at_ms)
    after = await store.receive(UploadState(session.id), body(content), "sha256", Record())
    await database.write(uploads.move, session, None, after, NOBODY, expires_at_ms)
    return after


async def finish(database: Database, store: BlobStore, upload: UploadState, content: bytes) -> StoredBlob:
    """A blob with its row, made of an upload with its row."""
    blob = await store.commit(upload, Digest.of(content))
    assert await database.write(uploads.claim, upload)
    assert await database.write(blobs.record, REPOSITORY, blob, 1) == blob
    return blob


async def collected(database: Database, store: BlobStore, now_ms: int = FAR_FUTURE_MS) -> int:
    """How many objects the third run removes: the first lists them, the second moves them aside."""
    await store_identity.adopt(database, store)
    before = [entry.location async for entry in store.objects()]
    runs = [
        await garbage.collect(database, store, garbage.Terms(now_ms + number, 0, 0), accept_many=True)
        for number in range(3)
    ]
    listed = runs[0].listed
    assert [(run.listed, run.moved_aside, run.removed) for run in runs] == [
        (listed, 0, 0),
        (0, listed, 0),
        (0, 0, listed),
    ]
    assert len([entry async for entry in store.objects()]) == len(before) - listed
    assert [entry async for entry in store.aside()] == []
    return listed


async def test_bytes_without_a_row_are_garbage(opened: Opened, database: Database) -> None:
    blob = await stored(opened.store, b"blob that was never recorded")
    upload = await opened.store.receive(new_upload(), body(b"one"), "sha256", Record())
    await opened.store.receive(upload, body(b"two"), "sha256", Record())

    assert await collected(database, opened.store) >= 2
    assert [entry async for entry in opened.store.objects()] == []
    assert await opened.driver.size(blob.location) is None
    assert await collected(database, opened.store) == 0


async def test_young_bytes_without_a_row_are_left_alone(opened: Opened, database: Database) -> None:
    """A process may be about to record them."""
    blob = await stored(opened.store, b"content")

    assert await collected(database, opened.store, LONG_AGO_MS) == 0
    assert await content_of(opened.store, blob) == b"content"


@pytest.mark.parametrize("parts", [1, 2])
async def test_recorded_blobs_and_unfinished_uploads_are_no_garbage(
    opened: Opened, database: Database, parts: int
) -> None:
    upload = await begin(database, opened.store, b"content")
    if parts == 2:
        session = UploadSession(upload.id, REPOSITORY, "local:admin", 1, "sha256", FAR_FUTURE_MS)
        after = await opened.store.receive(upload, body(b" and more"), "sha256", Record())
        await database.write(uploads.move, session, upload, after, NOBODY, FAR_FUTURE_MS)
        upload = after

    assert await collected(database, opened.store) == 0
    content = b"content" if parts == 1 else b"content and more"
    blob = await finish(database, opened.store, upload, content)
    assert await collected(database, opened.store) == 0
    assert await content_of(opened.store, blob) == content


async def test_what_a_request_that_lost_has_left_is_garbage_once_the_upload_is_over(
    opened: Opened, database: Database
) -> None:
    before = await begin(database, opened.store, b"start ")
    await opened.another_worker().receive(before, body(b"lost"), "sha256", Record())
    session = UploadSession(before.id, REPOSITORY, "local:admin", 1, "sha256", FAR_FUTURE_MS)
    after = await opened.another_worker().receive(before, body(b"kept"), "sha256", Record())
    await database.write(uploads.move, session, before, after, NOBODY, FAR_FUTURE_MS)
    blob = await finish(database, opened.another_worker(), after, b"start kept")

    assert await collected(database, opened.store) == 1
    assert [entry.location async for entry in opened.store.objects()] == [blob.location]
    assert await content_of(opened.store, blob) == b"start kept"


async def test_garbage_that_is_named_again_is_moved_back(opened: Opened, database: Database) -> None:
    """The database was the wrong one for a while, or an older one."""
    upload = await begin(database, opened.store, b"content")
    blob = await opened.store.commit(upload, Digest.of(b"content"))
    await store_identity.adopt(database, opened.store)
    assert await database.write(lambda c: c.execute(delete(uploads_table)).rowcount) == 1
    terms = [garbage.Terms(FAR_FUTURE_MS + number, 0, 10**9) for number in range(4)]
    for number in range(3):
        assert (await garbage.collect(database, opened.store, terms[number], accept_many=True)).removed == 0
    assert await opened.driver.size(blob.location or "") is None

    assert await database.write(blobs.record, REPOSITORY, blob, 1) == blob
    assert (await garbage.collect(database, opened.store, terms[3])).moved_back == 1
    assert await content_of(opened.store, blob) == b"content"


async def test_run_that_would_take_much_away_stops_and_asks(opened: Opened, database: Database) -> None:
    await store_identity.adopt(database, opened.store)
    for number in range(garbage.MANY + 1):
        await stored(opened.store, b"%d" % number * 200)
    terms = [garbage.Terms(FAR_FUTURE_MS + number, 0, 0) for number in range(2)]
    dry = await garbage.collect(database, opened.store, terms[0], dry_run=True)
    assert (dry.stored, dry.listed) == (garbage.MANY + 1, garbage.MANY + 1)
    await garbage.collect(database, opened.store, terms[0])
    with pytest.raises(TooMuchGarbage):
        await garbage.collect(database, opened.store, terms[1])
    assert len([entry async for entry in opened.store.objects()]) == garbage.MANY + 1


async def test_store_and_database_that_do_not_belong_together_are_told_apart(
    opened: Opened, database: Database
) -> None:
    first = await store_identity.check(database, opened.store)
    assert await store_identity.check(database, opened.store) == first
    before = first.generation
    await store_identity.advance(database, opened.store)
    # An older backup of the database, then another registry's, then an empty one.
    await database.write(facts.put, "store.generation", str(before))
    with pytest.raises(DatabaseOlder):
        await garbage.collect(database, opened.store, garbage.Terms(FAR_FUTURE_MS, 0, 0))
    await database.write(facts.put, "store.id", "another")
    with pytest.raises(StoreForeign):
        await garbage.collect(database, opened.store, garbage.Terms(FAR_FUTURE_MS, 0, 0))
    await database.write(lambda c: c.execute(delete(facts_table)).rowcount)
    with pytest.raises(StoreForeign):
        await store_identity.check(database, opened.store)
    adopted = await store_identity.adopt(database, opened.store)
    assert adopted.id == first.id
    assert await store_identity.check(database, opened.store) == adopted


async def test_expired_upload_goes_with_its_bytes(opened: Opened, database: Database) -> None:
    expired = await begin(database, opened.store, b"old", expires_at_ms=1_000)
    going_on = await begin(database, opened.store, b"new", expires_at_ms=3_000)

    assert await stale_uploads.expire(database, opened.store, 2_000) == 1
    assert await database.read(uploads.find, expired.id) is None
    assert await database.read(uploads.find, going_on.id) == going_on
    with pytest.raises(UploadLost):
        await opened.another_worker().commit(expired, Digest.of(b"old"))
    assert await content_of(opened.store, await finish(database, opened.store, going_on, b"new")) == b"new"
    assert await stale_uploads.expire(database, opened.store, 2_000) == 0


async def test_expired_uploads_of_several_pages_all_go(opened: Opened, database: Database) -> None:
    for _ in range(stale_uploads.PAGE + 5):
        session = UploadSession(str(uuid.uuid4()), REPOSITORY, "local:admin", 1, "sha256", 1)
        await database.write(uploads.move, session, None, UploadState(session.id), 1000, 1, durable=False)

    assert await stale_uploads.expire(database, opened.store, 2_000) == stale_uploads.PAGE + 5


async def test_cancelled_upload_is_forgotten_when_it_expires(opened: Opened, database: Database) -> None:
    upload = await begin(database, opened.store, b"content", expires_at_ms=1_000)
    session = UploadSession(upload.id, REPOSITORY, "local:admin", 1, "sha256", 1_000)
    await opened.store.discard(await database.write(uploads.cancel, session))

    assert await stale_uploads.expire(database, opened.store, 2_000) == 1
    assert await database.read(uploads.find, upload.id) is None


async def test_upload_that_expires_while_it_is_finished_is_one_or_the_other(opened: Opened, database: Database) -> None:
    """Whoever takes the row has the bytes: a blob is never recorded whose bytes maintenance removes."""
    upload = await begin(database, opened.store, b"content", expires_at_ms=1_000)
    blob = await opened.store.commit(upload, Digest.of(b"content"))
    assert await stale_uploads.expire(database, opened.store, 2_000) == 1
    assert not await database.write(uploads.claim, upload)

    upload = await begin(database, opened.store, b"content", expires_at_ms=1_000)
    blob = await finish(database, opened.store, upload, b"content")
    assert await stale_uploads.expire(database, opened.store, 2_000) == 0
    assert await content_of(opened.store, blob) == b"content"
