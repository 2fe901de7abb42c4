"""Pulling: from a name to bytes. The order of the gates is the order of the lines."""

from entrepot.actions import acts
from entrepot.app import App
from entrepot.content import blobs, manifests
from entrepot.content.errors import BlobUnknown, ManifestUnknown
from entrepot.content.manifests import StoredManifest
from entrepot.database import topics
from entrepot.oci.digest import Digest
from entrepot.oci.name import RepositoryName, Tag
from entrepot.principal import Origin, Principal
from entrepot.storage.store import StoredBlob

FACT_BYTES = 850
"""What remembering a fact costs beside its content, roughly."""


async def manifest(app: App, repository: RepositoryName, reference: Digest | Tag) -> StoredManifest:
    """Raises ManifestUnknown."""
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


async def note(
    app: App, principal: Principal, origin: Origin, repository: str, digest: Digest, tag: Tag | None
) -> None:
    """A manifest goes out: for the audit log."""
    await acts.pulled(app, principal, origin, "manifest:pull", f"repository:{repository}", digest, tag)


async def note_blob(app: App, principal: Principal, origin: Origin, repository: str, digest: Digest) -> None:
    """Bytes of a blob go out: for the audit log."""
    await acts.pulled(app, principal, origin, "blob:pull", f"repository:{repository}", digest, None)


async def blob(app: App, repository: RepositoryName, digest: Digest) -> StoredBlob:
    """Raises BlobUnknown, also for a blob that only other repositories have."""
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
