"""Small blobs never reach the driver: they travel with their records, until they grow."""

import pytest

from entrepot.errors import ClientGone
from entrepot.oci.digest import Digest
from entrepot.storage.driver import HeldBytes, UploadState
from entrepot.storage.errors import ContentMismatch
from entrepot.storage.store import BlobStore
from tests.conformance.storage.bodies import MIB, Record, body, broken, content_of, mebibytes, new_upload, stored
from tests.conformance.storage.implementations import Opened, differ_in_writing

pytestmark = [pytest.mark.anyio, differ_in_writing]

SMALL_BYTES_MAX = 1000


@pytest.fixture
def store(opened: Opened) -> BlobStore:
    """One that keeps small blobs by itself."""
    return opened.another_worker(small_blob_bytes_max=SMALL_BYTES_MAX)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("size", [0, 1, SMALL_BYTES_MAX])
async def test_small_blob_is_held_and_nothing_is_stored(
    opened: Opened, store: BlobStore, size: int, algorithm: str
) -> None:
    content = bytes(size)
    blob = await stored(store, content, algorithm)

    assert (blob.location, blob.content, blob.size) == (None, content, size)
    assert await store.open(blob) == HeldBytes(content)
    await store.check(blob)
    assert await content_of(store, blob) == content
    assert [entry async for entry in store.objects()] == []


async def test_range_of_a_small_blob(store: BlobStore) -> None:
    blob = await stored(store, b"0123456789")

    assert b"".join([piece async for piece in store.read(blob, 3, 7)]) == b"3456"


async def test_blob_of_one_byte_more_is_stored(store: BlobStore) -> None:
    blob = await stored(store, bytes(SMALL_BYTES_MAX + 1))

    assert blob.content is None
    assert [entry.location async for entry in store.objects()] == [blob.location]


@pytest.mark.parametrize("first", [b"", b"small", bytes(SMALL_BYTES_MAX)], ids=len)
@pytest.mark.parametrize("second", [b"", b"more", bytes(SMALL_BYTES_MAX), bytes(3 * MIB)], ids=len)
async def test_upload_that_begins_small_and_goes_on(opened: Opened, first: bytes, second: bytes) -> None:
    upload = new_upload()
    for part in (first, second, b"end"):
        worker = opened.another_worker(small_blob_bytes_max=SMALL_BYTES_MAX)
        upload = await worker.receive(upload, body(part), "sha256", Record())
    content = first + second + b"end"
    blob = await opened.another_worker().commit(upload, Digest.of(content))

    assert (blob.content is not None) == (len(content) <= SMALL_BYTES_MAX)
    assert await content_of(opened.store, blob) == content


async def test_wrong_digest_of_a_small_blob_is_refused(store: BlobStore) -> None:
    upload = await store.receive(new_upload(), body(b"content"), "sha256", Record())

    with pytest.raises(ContentMismatch) as refused:
        await store.commit(upload, Digest.of(b"other content"))
    assert refused.value.detail == {"announced": Digest.of(b"other content"), "received": Digest.of(b"content")}


async def test_little_that_arrived_before_the_connection_broke_is_recorded(store: BlobStore) -> None:
    record = Record()
    before = await store.receive(new_upload(), body(b"first "), "sha256", Record())
    with pytest.raises(ClientGone):
        await store.receive(before, broken(ClientGone("gone"), [b"second"]), "sha256", record)

    assert record.states == [UploadState(before.id, 12, (), b"first second")]


@pytest.mark.parametrize("pieces", [[b"few"], list(mebibytes(9))], ids=["few", "many"])
async def test_any_other_error_leaves_a_small_upload_as_it_was(store: BlobStore, pieces: list[bytes]) -> None:
    record = Record()
    before = await store.receive(new_upload(), body(b"first "), "sha256", Record())
    with pytest.raises(ValueError, match="wrong"):
        await store.receive(before, broken(ValueError("wrong"), pieces), "sha256", record)

    assert record.states[-1:] in ([], [before])
    after = await store.receive(before, body(b"second"), "sha256", Record())
    assert await content_of(store, await store.commit(after, Digest.of(b"first second"))) == b"first second"


async def test_limit_that_was_lowered_leaves_small_blobs_readable(opened: Opened, store: BlobStore) -> None:
    blob = await stored(store, b"content")

    assert await content_of(opened.store, blob) == b"content"
    assert await opened.store.open(blob) == HeldBytes(b"content")


async def test_discarding_a_small_upload_is_no_error(store: BlobStore) -> None:
    upload = await store.receive(new_upload(), body(b"content"), "sha256", Record())

    await store.discard(upload)
    await store.discard(upload)
