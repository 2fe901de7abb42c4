"""Bytes arrive: in one request or in several, to their end or not."""

import asyncio
import hashlib
import itertools
import tracemalloc
from collections.abc import AsyncIterator, Iterable

import pytest

from entrepot.errors import ClientGone, EntrepotError, TooSlow
from entrepot.oci.digest import Digest
from entrepot.storage.driver import Driver
from entrepot.storage.errors import ContentMismatch, UploadLost
from entrepot.storage.store import BlobStore
from tests.conformance.storage.bodies import (
    MIB,
    Record,
    body,
    broken,
    content_of,
    mebibytes,
    new_upload,
    stored,
)
from tests.conformance.storage.implementations import Capability, Opened, differ_in_writing

pytestmark = [pytest.mark.anyio, differ_in_writing]


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_one_part_becomes_a_blob_with_its_content(store: BlobStore, algorithm: str) -> None:
    blob = await stored(store, b"content", algorithm)

    assert blob.digest == Digest.of(b"content", algorithm)
    assert blob.size == 7
    assert await content_of(store, blob) == b"content"


async def test_several_parts_become_one_blob(store: BlobStore) -> None:
    upload = new_upload()
    for part in (b"first, ", b"second, ", b"third"):
        upload = await store.receive(upload, body(part), "sha256", Record())
    blob = await store.commit(upload, Digest.of(b"first, second, third"))

    assert blob.size == 20
    assert await content_of(store, blob) == b"first, second, third"


async def test_pieces_of_a_body_are_put_together_in_order(store: BlobStore) -> None:
    pieces = [bytes([number]) * number for number in range(100)]
    upload = await store.receive(new_upload(), body(*pieces), "sha256", Record())
    blob = await store.commit(upload, Digest.of(b"".join(pieces)))

    assert await content_of(store, blob) == b"".join(pieces)


async def test_empty_blob(store: BlobStore) -> None:
    blob = await stored(store, b"")

    assert blob.size == 0
    await store.check(blob)
    assert await content_of(store, blob) == b""


async def test_a_request_without_bytes_changes_nothing(store: BlobStore) -> None:
    upload = await store.receive(new_upload(), body(b"content"), "sha256", Record())
    again = await store.receive(upload, body(), "sha256", Record())
    blob = await store.commit(again, Digest.of(b"content"))

    assert again.offset == 7
    assert await content_of(store, blob) == b"content"


async def test_state_counts_bytes(store: BlobStore) -> None:
    first = await store.receive(new_upload(), body(b"12345"), "sha256", Record())
    second = await store.receive(first, body(b"678"), "sha256", Record())

    assert (first.offset, second.offset) == (5, 8)


@pytest.mark.parametrize("parts", [1, 3])
async def test_lost_hash_is_computed_again(opened: Opened, parts: int) -> None:
    upload = new_upload()
    for _ in range(parts):
        upload = await opened.another_worker().receive(upload, body(b"part"), "sha256", Record())
    blob = await opened.another_worker().commit(upload, Digest.of(b"part" * parts))

    assert await content_of(opened.store, blob) == b"part" * parts


async def test_the_announced_algorithm_need_not_be_the_one_of_the_start(store: BlobStore) -> None:
    upload = await store.receive(new_upload(), body(b"content"), "sha256", Record())
    blob = await store.commit(upload, Digest.of(b"content", "sha512"))

    assert blob.digest == Digest.of(b"content", "sha512")


@pytest.mark.parametrize("lost", [False, True], ids=["hash-known", "hash-lost"])
async def test_wrong_digest_is_refused_and_the_upload_stays(opened: Opened, lost: bool) -> None:
    upload = await opened.store.receive(new_upload(), body(b"content"), "sha256", Record())
    store = opened.another_worker() if lost else opened.store

    with pytest.raises(ContentMismatch) as refused:
        await store.commit(upload, Digest.of(b"other content"))

    assert refused.value.detail == {"announced": Digest.of(b"other content"), "received": Digest.of(b"content")}
    assert (await store.commit(upload, Digest.of(b"content"))).size == 7


@pytest.mark.parametrize("error", [ClientGone("gone"), TooSlow("slow")], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("pieces", [[b"some", b" bytes"], list(mebibytes(9))], ids=["few", "many"])
async def test_what_arrived_before_the_connection_broke_is_kept_and_recorded(
    opened: Opened, error: EntrepotError, pieces: list[bytes]
) -> None:
    record = Record()
    before = await opened.store.receive(new_upload(), body(b"first "), "sha256", Record())

    with pytest.raises(type(error)):
        await opened.store.receive(before, broken(error, pieces), "sha256", record)

    arrived = b"first " + b"".join(pieces)
    assert record.states[-1].offset == len(arrived)
    after = await opened.another_worker().receive(record.states[-1], body(b" last"), "sha256", Record())
    blob = await opened.store.commit(after, Digest.of(arrived + b" last"))
    assert await content_of(opened.store, blob) == arrived + b" last"


async def test_connection_that_breaks_before_the_first_byte_leaves_an_upload_to_go_on_with(store: BlobStore) -> None:
    record = Record()
    with pytest.raises(ClientGone):
        await store.receive(new_upload(), broken(ClientGone("gone"), []), "sha256", record)

    assert record.states[-1].offset == 0
    after = await store.receive(record.states[-1], body(b"content"), "sha256", Record())
    assert (await store.commit(after, Digest.of(b"content"))).size == 7


@pytest.mark.parametrize("pieces", [[b"some", b" bytes"], list(mebibytes(13))], ids=["few", "many"])
@pytest.mark.parametrize("before_bytes", [b"", b"first "], ids=["new", "resumed"])
async def test_any_other_error_leaves_the_upload_as_it_was(
    opened: Opened, before_bytes: bytes, pieces: Iterable[bytes]
) -> None:
    record = Record()
    before = new_upload()
    if before_bytes:
        before = await opened.store.receive(before, body(before_bytes), "sha256", Record())

    with pytest.raises(ValueError, match="not what was announced"):
        await opened.store.receive(before, broken(ValueError("not what was announced"), pieces), "sha256", record)

    assert record.states[-1:] in ([], [before])
    for worker in (opened.store, opened.another_worker()):
        after = await worker.receive(before, body(b"content"), "sha256", Record())
        blob = await opened.another_worker().commit(after, Digest.of(before_bytes + b"content"))
        assert await content_of(opened.store, blob) == before_bytes + b"content"
        before = new_upload()
        before_bytes = b""


async def test_request_that_is_cancelled_leaves_the_upload_as_it_was(opened: Opened) -> None:
    before = await opened.store.receive(new_upload(), body(b"first "), "sha256", Record())
    written = asyncio.Event()

    async def never_ending() -> AsyncIterator[bytes]:
        for piece in mebibytes(9):
            yield piece
        written.set()
        await asyncio.Event().wait()

    request = asyncio.create_task(opened.store.receive(before, never_ending(), "sha256", Record()))
    await written.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request

    after = await opened.another_worker().receive(before, body(b"content"), "sha256", Record())
    blob = await opened.another_worker().commit(after, Digest.of(b"first content"))
    assert await content_of(opened.store, blob) == b"first content"


async def test_upload_whose_bytes_are_not_there_is_lost(opened: Opened) -> None:
    upload = await opened.store.receive(new_upload(), body(b"content"), "sha256", Record())
    await opened.store.discard(upload)

    with pytest.raises(UploadLost):
        await opened.another_worker().receive(upload, body(b"more"), "sha256", Record())
    with pytest.raises(UploadLost):
        await opened.another_worker().commit(upload, Digest.of(b"content"))


async def test_bytes_lost_behind_the_back_of_a_worker_that_knows_the_hash(opened: Opened) -> None:
    upload = await opened.store.receive(new_upload(), body(b"content"), "sha256", Record())
    await opened.driver.discard(upload)

    with pytest.raises(UploadLost):
        await opened.store.commit(upload, Digest.of(b"content"))


async def test_large_body_is_recorded_on_the_way(opened: Opened) -> None:
    record = Record()
    await opened.store.receive(new_upload(), body(*mebibytes(80)), "sha256", record)

    offsets = [state.offset for state in record.states]
    if opened.implementation.has(Capability.KEEPS_UNCLOSED_PARTS):
        assert len(offsets) == 2
        assert 0 < offsets[0] < offsets[1] <= 80 * MIB
    else:
        assert offsets == [0]


async def test_process_that_dies_leaves_what_was_recorded(opened: Opened, driver: Driver) -> None:
    """A writer that is neither closed nor aborted is what a killed process leaves."""
    before = new_upload()
    writer = await driver.open_part(before)
    await writer.write([b"content"], last=False)

    if not opened.implementation.has(Capability.KEEPS_UNCLOSED_PARTS):
        assert writer.kept == before
        return
    assert writer.kept.offset == 7
    recorded = writer.kept
    await writer.write([b" that was not recorded"], last=True)
    after = await opened.another_worker().receive(recorded, body(b" and more"), "sha256", Record())
    blob = await opened.another_worker().commit(after, Digest.of(b"content and more"))
    assert await content_of(opened.store, blob) == b"content and more"


async def test_large_body_is_never_in_memory_as_a_whole(opened: Opened) -> None:
    async def large() -> AsyncIterator[bytes]:
        for piece in mebibytes(96):
            yield piece

    digest = digest_of(mebibytes(96))
    tracemalloc.start()
    try:
        upload = await opened.store.receive(new_upload(), large(), "sha256", Record())
        blob = await opened.store.commit(upload, digest)
        received = 0
        async for piece in opened.store.read(blob, 0, blob.size):
            received += len(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert blob.size == received == 96 * MIB
    # An object store sends four pieces of 8 MiB at a time.
    assert peak < 60 * MIB


async def test_parts_of_a_large_blob_are_joined_without_being_in_memory(opened: Opened) -> None:
    upload = new_upload()
    for first in range(0, 48, 8):
        part = itertools.islice(mebibytes(48), first, first + 8)
        upload = await opened.store.receive(upload, body(*part), "sha256", Record())
    digest = digest_of(mebibytes(48))
    tracemalloc.start()
    try:
        blob = await opened.store.commit(upload, digest)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert await content_of(opened.store, blob) == b"".join(mebibytes(48))
    assert peak < 40 * MIB


def digest_of(pieces: Iterable[bytes]) -> Digest:
    hasher = hashlib.sha256()
    for piece in pieces:
        hasher.update(piece)
    return Digest(f"sha256:{hasher.hexdigest()}")
