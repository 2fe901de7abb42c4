"""A store that does not do what it is asked: every operation fails as a kind that a client is told of."""

import secrets
import shutil
from collections.abc import Awaitable, Callable

import pytest

from entrepot.errors import StorageFull, Unavailable
from entrepot.oci.digest import Digest
from entrepot.storage.driver import UploadState
from entrepot.storage.errors import StorageUnavailable
from entrepot.storage.store import BlobStore, StoredBlob
from tests.conformance.storage.bodies import Record, body, content_of, new_upload, stored
from tests.conformance.storage.implementations import Opened, differ_in_writing

pytestmark = [pytest.mark.anyio, differ_in_writing]


async def lock_out(opened: Opened) -> BlobStore:
    """A store that may do nothing with the bytes of this one: other credentials, or no root directory."""
    if opened.implementation.scheme == "s3":
        options = {**opened.settings.options, "secret_access_key": secrets.token_hex(16)}
        return opened.another_worker(options=options)
    worker = opened.another_worker()
    shutil.rmtree(opened.data / "storage")
    (opened.data / "storage").write_text("not a directory")
    return worker


Operation = Callable[[BlobStore, UploadState, StoredBlob], Awaitable[object]]


async def receive(store: BlobStore, upload: UploadState, blob: StoredBlob) -> None:
    await store.receive(new_upload(), body(b"content"), "sha256", Record())


async def go_on(store: BlobStore, upload: UploadState, blob: StoredBlob) -> None:
    await store.receive(upload, body(b"content"), "sha256", Record())


async def commit(store: BlobStore, upload: UploadState, blob: StoredBlob) -> None:
    await store.commit(upload, Digest.of(b"content"))


async def check(store: BlobStore, upload: UploadState, blob: StoredBlob) -> None:
    await store.check(blob)


async def read(store: BlobStore, upload: UploadState, blob: StoredBlob) -> None:
    await content_of(store, blob)


async def delete(store: BlobStore, upload: UploadState, blob: StoredBlob) -> None:
    await store.delete(blob.location)


async def discard(store: BlobStore, upload: UploadState, blob: StoredBlob) -> None:
    await store.discard(upload)


async def listing(store: BlobStore, upload: UploadState, blob: StoredBlob) -> None:
    async for _ in store.objects():
        pass


async def look(store: BlobStore, upload: UploadState, blob: StoredBlob) -> None:
    await store.check_reading()


@pytest.mark.parametrize(
    "operation",
    [receive, go_on, commit, check, read, delete, discard, listing, look],
    ids=lambda operation: operation.__name__,
)
async def test_failure_of_the_store_is_told_as_unavailable(opened: Opened, operation: Operation) -> None:
    blob = await stored(opened.store, b"content")
    upload = await opened.store.receive(new_upload(), body(b"content"), "sha256", Record())
    broken = await lock_out(opened)

    with pytest.raises(Unavailable) as failed:
        await operation(broken, upload, blob)
    assert not isinstance(failed.value, StorageFull)
    for secret in (str(opened.data), blob.location, opened.settings.options.get("access_key_id", blob.location)):
        assert secret not in failed.value.message
    await broken.close()


async def test_bucket_or_directory_that_is_not_there_cannot_be_read(opened: Opened) -> None:
    if opened.implementation.scheme == "s3":
        store = opened.another_worker(url="s3://there-is-no-such-bucket/prefix")
    else:
        store = opened.another_worker()
        shutil.rmtree(opened.data / "storage")

    with pytest.raises(StorageUnavailable):
        await store.check_reading()
    await store.close()
