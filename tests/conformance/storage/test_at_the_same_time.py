"""Requests that make something of one upload at the same time, or of one that is over."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from entrepot.oci.digest import Digest
from entrepot.storage.driver import UploadState
from entrepot.storage.errors import UploadBusy, UploadLost
from tests.conformance.storage.bodies import Record, body, content_of, new_upload
from tests.conformance.storage.implementations import Capability, Opened, differ_in_writing

pytestmark = [pytest.mark.anyio, differ_in_writing]


@pytest.mark.parametrize("start", [b"", b"start "], ids=["new", "resumed"])
async def test_second_request_from_the_same_state_does_not_change_what_the_first_recorded(
    opened: Opened, start: bytes
) -> None:
    before = new_upload()
    if start:
        before = await opened.store.receive(before, body(start), "sha256", Record())
    first = await opened.another_worker().receive(before, body(b"first"), "sha256", Record())
    second = await opened.another_worker().receive(before, body(b"other"), "sha256", Record())

    assert second.offset == first.offset
    blob = await opened.another_worker().commit(first, Digest.of(start + b"first"))
    assert await content_of(opened.store, blob) == start + b"first"


async def test_request_that_fails_does_not_change_what_another_recorded(opened: Opened) -> None:
    before = await opened.store.receive(new_upload(), body(b"start "), "sha256", Record())
    first = await opened.another_worker().receive(before, body(b"first"), "sha256", Record())

    async def failing() -> AsyncIterator[bytes]:
        yield b"other"
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        await opened.another_worker().receive(before, failing(), "sha256", Record())
    blob = await opened.another_worker().commit(first, Digest.of(b"start first"))
    assert await content_of(opened.store, blob) == b"start first"


async def test_second_writer_at_the_same_time(opened: Opened) -> None:
    before = await opened.store.receive(new_upload(), body(b"start "), "sha256", Record())
    writer = await opened.driver.open_part(before)
    await writer.write([b"first"], last=False)
    second = opened.another_worker().receive(before, body(b"other"), "sha256", Record())

    if opened.implementation.has(Capability.REFUSES_SECOND_WRITER):
        with pytest.raises(UploadBusy):
            await second
        with pytest.raises(UploadBusy):
            await opened.another_worker().commit(before, Digest.of(b"start "))
    else:
        await second
    await writer.write([b" last"], last=True)
    blob = await opened.another_worker().commit(writer.kept, Digest.of(b"start first last"))
    assert await content_of(opened.store, blob) == b"start first last"


async def test_writer_that_waited_while_the_upload_became_a_blob_cannot_change_it(opened: Opened) -> None:
    before = await opened.store.receive(new_upload(), body(b"content"), "sha256", Record())
    late = await opened.driver.open_part(before)
    blob = await opened.store.commit(before, Digest.of(b"content"))

    if opened.implementation.has(Capability.COMMITS_ONCE):
        with pytest.raises(UploadLost):
            await late.write([b" changed"], last=True)
    else:
        await late.write([b" changed"], last=True)
    assert await content_of(opened.store, blob) == b"content"
    await opened.store.check(blob)


async def test_second_commit(opened: Opened) -> None:
    upload = await opened.store.receive(new_upload(), body(b"content"), "sha256", Record())
    blob = await opened.store.commit(upload, Digest.of(b"content"))

    if opened.implementation.has(Capability.COMMITS_ONCE):
        with pytest.raises(UploadLost):
            await opened.another_worker().commit(upload, Digest.of(b"content"))
    else:
        again = await opened.another_worker().commit(upload, Digest.of(b"content"))
        assert again == blob
    assert await content_of(opened.store, blob) == b"content"


async def test_second_commit_of_several_parts_is_lost(opened: Opened) -> None:
    upload = await opened.store.receive(new_upload(), body(b"content"), "sha256", Record())
    upload = await opened.store.receive(upload, body(b" and more"), "sha256", Record())
    blob = await opened.store.commit(upload, Digest.of(b"content and more"))

    with pytest.raises(UploadLost):
        await opened.another_worker().commit(upload, Digest.of(b"content and more"))
    assert await content_of(opened.store, blob) == b"content and more"


@pytest.mark.parametrize("content", [b"content", b"other"], ids=["same-content", "other-content"])
async def test_upload_that_became_a_blob_and_begins_again_is_another_blob(opened: Opened, content: bytes) -> None:
    """A client that repeats its request, because it did not hear the answer, must not touch the blob."""
    fresh = new_upload()
    first = await opened.store.receive(fresh, body(b"content"), "sha256", Record())
    blob = await opened.store.commit(first, Digest.of(b"content"))
    second = await opened.store.receive(fresh, body(content), "sha256", Record())
    again = await opened.store.commit(second, Digest.of(content))

    assert again.location != blob.location
    await opened.store.delete(again.location)
    await opened.store.discard(UploadState(fresh.id))
    assert await content_of(opened.store, blob) == b"content"


async def test_same_content_from_two_uploads_is_two_objects(opened: Opened) -> None:
    blobs = []
    for _ in range(2):
        upload = await opened.store.receive(new_upload(), body(b"content"), "sha256", Record())
        blobs.append(await opened.store.commit(upload, Digest.of(b"content")))

    assert blobs[0].location != blobs[1].location
    await opened.store.delete(blobs[0].location)
    assert await content_of(opened.store, blobs[1]) == b"content"


async def test_many_uploads_at_the_same_time_keep_apart(opened: Opened) -> None:
    async def push(number: int) -> bytes:
        content = number.to_bytes(4, "big") * 50_000
        upload = await opened.store.receive(new_upload(), body(content[:100], content[100:]), "sha256", Record())
        blob = await opened.store.commit(upload, Digest.of(content))
        return await content_of(opened.store, blob)

    contents = await asyncio.gather(*(push(number) for number in range(24)))
    assert contents == [number.to_bytes(4, "big") * 50_000 for number in range(24)]
