"""Pulling: from a name to bytes. The order of the gates is the order of the lines."""

from collections.abc import Container

from entrepot.actions import acts
from entrepot.app import App
from entrepot.audit.actions import Action
from entrepot.content import blobs, manifests
from entrepot.content.errors import BlobUnknown, ManifestUnknown
from entrepot.content.manifests import StoredManifest
from entrepot.database import topics
from entrepot.oci.digest import Digest
from entrepot.oci.name import RepositoryName, Tag
from entrepot.principal import Caller
from entrepot.storage.driver import Access
from entrepot.storage.store import StoredBlob

FACT_BYTES = 850
"""What remembering a fact costs beside its content, roughly."""


async def manifest(
    app: App, caller: Caller, repository: RepositoryName, reference: Digest | Tag, known: Container[str]
) -> StoredManifest:
    """What is pulled, unless the client has it already. Raises ManifestUnknown."""
    stored = await find_manifest(app, repository, reference)
    if stored.digest not in known:
        tag = reference if isinstance(reference, Tag) else None
        await acts.pulled(app, caller, Action.MANIFEST_PULL, repository, stored.digest, tag)
    return stored


async def find_manifest(app: App, repository: RepositoryName, reference: Digest | Tag) -> StoredManifest:
    """What a pull would give. Raises ManifestUnknown."""
    stored = await app.caches.content.remember(
        topics.content(repository),
        ("manifest", reference),
        lambda: app.database.look_up(manifests.find, repository, reference),
        _manifest_bytes,
    )
    if stored is None:
        raise ManifestUnknown(
            f"there is no manifest {reference} in {repository}", {"name": repository, "reference": reference}
        )
    return stored


async def blob(
    app: App, caller: Caller, repository: RepositoryName, digest: Digest, known: Container[str]
) -> tuple[StoredBlob, Access | None]:
    """What is pulled, and the way to its bytes: none when the client has them already.

    Raises BlobUnknown, as `find_blob` does, and BlobDamaged.
    """
    stored = await find_blob(app, repository, digest)
    if digest in known:
        return stored, None
    access = await app.store.open(stored)
    await acts.pulled(app, caller, Action.BLOB_PULL, repository, digest, None)
    return stored, access


async def find_blob(app: App, repository: RepositoryName, digest: Digest) -> StoredBlob:
    """What a pull would give. Raises BlobUnknown, also for a blob that only other repositories have."""
    stored = await app.caches.content.remember(
        topics.content(repository),
        ("blob", digest),
        lambda: app.database.look_up(blobs.find, repository, digest),
        _blob_bytes,
    )
    if stored is None:
        raise BlobUnknown(f"there is no blob {digest} in {repository}", {"digest": digest})
    return stored


def _manifest_bytes(stored: StoredManifest) -> int:
    return FACT_BYTES + len(stored.payload)


def _blob_bytes(stored: StoredBlob) -> int:
    return FACT_BYTES + len(stored.content or b"")
