"""What is stored: read, sent, listed, removed; and when it is not what it should be."""

from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from entrepot.oci.digest import Digest
from entrepot.storage import layout
from entrepot.storage.driver import LocalFile, Proxied, Redirect, UploadState
from entrepot.storage.errors import BlobDamaged, StorageUnavailable
from entrepot.storage.store import BlobStore, StoredBlob
from tests.conformance.storage.bodies import MIB, Record, body, content_of, mebibytes, new_upload, stored
from tests.conformance.storage.implementations import Opened

pytestmark = pytest.mark.anyio


async def read(store: BlobStore, blob: StoredBlob, start: int, end: int) -> bytes:
    return b"".join([piece async for piece in store.read(blob, start, end)])


@pytest.mark.parametrize(("start", "end"), [(0, 10), (0, 1), (9, 10), (3, 7), (4, 4)])
async def test_range_is_read(store: BlobStore, start: int, end: int) -> None:
    blob = await stored(store, b"0123456789")

    assert await read(store, blob, start, end) == b"0123456789"[start:end]


async def test_range_across_many_pieces_is_read(store: BlobStore) -> None:
    content = b"".join(mebibytes(11))
    blob = await stored(store, content)

    assert await read(store, blob, MIB - 1, 10 * MIB + 1) == content[MIB - 1 : 10 * MIB + 1]


@pytest.mark.parametrize(("start", "end"), [(0, 11), (9, 11), (10, 11), (500, 501)])
async def test_reading_past_the_end_fails_instead_of_sending_less(store: BlobStore, start: int, end: int) -> None:
    blob = await stored(store, b"0123456789")

    with pytest.raises(StorageUnavailable):
        await read(store, blob, start, end)


async def test_reading_what_is_not_there_fails(store: BlobStore) -> None:
    blob = await stored(store, b"content")
    await store.delete(blob.location)

    with pytest.raises(StorageUnavailable):
        await content_of(store, blob)


async def test_size_is_that_of_the_bytes(opened: Opened) -> None:
    blob = await stored(opened.store, b"content")

    assert await opened.driver.size(blob.location) == 7


async def test_size_of_what_is_not_there_is_none(opened: Opened) -> None:
    assert await opened.driver.size("blobs/sha256/ab/nothing") is None


async def test_delete_removes_and_can_be_repeated(opened: Opened) -> None:
    blob = await stored(opened.store, b"content")
    for _ in range(2):
        await opened.store.delete(blob.location)
        assert await opened.driver.size(blob.location) is None


async def test_what_is_deleted_soon_is_gone_once_the_store_is_closed(opened: Opened) -> None:
    blob, other = await stored(opened.store, b"content"), await stored(opened.store, b"other content")
    worker = opened.another_worker()
    worker.delete_soon(blob.location)
    worker.delete_soon(blob.location)
    await worker.close()

    assert await opened.driver.size(blob.location) is None
    assert await content_of(opened.store, other) == b"other content"


async def test_blob_reaches_a_client_in_the_way_of_its_store(opened: Opened) -> None:
    blob = await stored(opened.store, b"content")
    access = await opened.store.open(blob)

    assert type(access) is opened.implementation.access
    match access:
        case LocalFile(path):
            assert Path(path).read_bytes() == b"content"
        case Redirect(url):
            assert_opens_by_its_signature_only(url, b"content")
        case Proxied():
            assert await content_of(opened.store, blob) == b"content"


def assert_opens_by_its_signature_only(url: str, content: bytes) -> None:
    with httpx.Client(trust_env=False) as client:
        assert client.get(url).content == content
        assert client.get(url, headers={"Range": "bytes=1-3"}).content == content[1:4]
        assert client.get(url.partition("?")[0]).status_code == 403


async def test_missing_bytes_are_noticed(opened: Opened) -> None:
    blob = await stored(opened.store, b"content")
    await opened.store.delete(blob.location)

    with pytest.raises(BlobDamaged):
        await opened.store.open(blob)
    assert opened.damaged == [blob]


@pytest.mark.parametrize("size", [6, 8])
async def test_other_length_than_recorded_is_noticed(opened: Opened, size: int) -> None:
    blob = replace(await stored(opened.store, b"content"), size=size)

    with pytest.raises(BlobDamaged) as noticed:
        await opened.store.check(blob)
    assert opened.damaged == [blob]
    assert blob.location not in noticed.value.message


async def test_whole_blob_is_not_reported(opened: Opened) -> None:
    await opened.store.check(await stored(opened.store, b"content"))

    assert opened.damaged == []


async def test_everything_is_listed_with_the_upload_that_wrote_it(opened: Opened) -> None:
    one_part = await opened.store.receive(new_upload(), body(b"one"), "sha256", Record())
    several_parts = await opened.store.receive(new_upload(), body(b"two"), "sha256", Record())
    several_parts = await opened.store.receive(several_parts, body(b"more"), "sha256", Record())
    unfinished = await opened.store.receive(new_upload(), body(b"three"), "sha256", Record())
    unfinished = await opened.store.receive(unfinished, body(b"more"), "sha512", Record())
    blobs = [
        await opened.store.commit(one_part, Digest.of(b"one")),
        await opened.store.commit(several_parts, Digest.of(b"twomore")),
    ]

    listed = {entry.location: entry async for entry in opened.store.objects()}
    assert {blob.location for blob in blobs} <= set(listed)
    writers = {layout.upload_id(location) for location in listed}
    assert writers == {one_part.id, several_parts.id, unfinished.id}
    assert all(entry.modified_at_ms > 0 for entry in listed.values())


async def test_nothing_is_listed_of_what_was_discarded_or_deleted(opened: Opened) -> None:
    blob = await stored(opened.store, b"content")
    upload = await opened.store.receive(new_upload(), body(b"one"), "sha256", Record())
    upload = await opened.store.receive(upload, body(b"two"), "sha256", Record())

    for _ in range(2):
        await opened.store.discard(upload)
        await opened.store.delete(blob.location)
    await opened.store.discard(UploadState("7b0b5b8e-0000-4000-8000-000000000000"))

    assert [entry async for entry in opened.store.objects()] == []


async def test_more_is_listed_than_fits_into_one_answer_of_the_store(opened: Opened) -> None:
    """S3 lists 1,000 objects at a time."""
    count = 1100 if opened.implementation.scheme == "s3" else 100
    uploads = set()
    for _ in range(count):
        upload = await opened.store.receive(new_upload(), body(b"x"), "sha256", Record())
        uploads.add(upload.id)

    assert {layout.upload_id(entry.location) async for entry in opened.store.objects()} == uploads


async def test_store_that_works_can_be_read_and_written_and_looking_leaves_nothing(opened: Opened) -> None:
    await opened.store.check_reading()
    await opened.store.check_writing()
    assert [entry async for entry in opened.store.objects()] == []
