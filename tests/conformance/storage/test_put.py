"""Objects that are no blobs: put whole, read whole, and never collected."""

import secrets

import pytest

from entrepot.storage import layout
from entrepot.storage.errors import StorageUnavailable
from tests.conformance.storage.bodies import mebibytes
from tests.conformance.storage.implementations import Opened, differ_in_writing

pytestmark = [pytest.mark.anyio, differ_in_writing]


def new_location() -> str:
    return layout.audit_segment(1, 10, layout.new_part())


@pytest.mark.parametrize("content", [b"", b"x", secrets.token_bytes(100), b"".join(mebibytes(9))], ids=len)
async def test_what_is_put_is_read_by_every_worker(opened: Opened, content: bytes) -> None:
    location = new_location()
    await opened.store.put(location, content)

    for store in (opened.store, opened.another_worker()):
        assert await store.get(location) == content


async def test_what_is_not_there_is_none(opened: Opened) -> None:
    assert await opened.store.get(new_location()) is None


async def test_what_is_deleted_is_gone(opened: Opened) -> None:
    location = new_location()
    await opened.store.put(location, b"content")
    for _ in range(2):
        await opened.store.delete(location)

    assert await opened.store.get(location) is None


async def test_collection_does_not_see_it(opened: Opened) -> None:
    await opened.store.put(new_location(), b"content")

    assert [entry async for entry in opened.store.objects()] == []


async def test_what_cannot_be_written_fails(opened: Opened) -> None:
    if opened.implementation.scheme != "file":
        assert await opened.store.get(layout.AUDIT) is None  # There, a folder is nothing that could be in the way.
        return
    (opened.data / "storage" / layout.AUDIT).write_bytes(b"in the way of the folder")

    with pytest.raises(StorageUnavailable):
        await opened.store.put(new_location(), b"content")
