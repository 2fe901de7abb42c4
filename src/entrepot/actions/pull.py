"""Pulling: from a name to bytes. The order of the gates is the order of the lines."""

from entrepot.actions import acts
from entrepot.app import App
from entrepot.content import blobs, manifests, repositories
from entrepot.content.errors import BlobUnknown, ManifestUnknown
from entrepot.content.manifests import StoredManifest
from entrepot.oci.digest import Digest
from entrepot.oci.name import RepositoryName, Tag
from entrepot.principal import Caller
from entrepot.storage.store import StoredBlob

FACT_BYTES = 600
"""What remembering a fact costs beside its content, roughly."""


async def manifest(app: App, repository: RepositoryName, reference: Digest | Tag) -> StoredManifest:
    """Raises ManifestUnknown."""
    topic, key = repositories.topic(repository), ("manifest", reference)
    known: StoredManifest | None = app.cache.get(topic, key)
    if known is not None:
        return known
    stamp = app.cache.stamp()
    stored = await app.database.look_up(manifests.find, repository, reference)
    if stored is None:
        raise ManifestUnknown(
            f"there is no manifest {reference} in {repository}", {"name": repository, "reference": reference}
        )
    app.cache.put(stamp, topic, key, stored, len(stored.payload) + FACT_BYTES)
    return stored


async def note(app: App, caller: Caller, repository: str, digest: Digest, tag: Tag | None) -> None:
    """A manifest goes out: for the audit log."""
    await acts.pulled(app, caller, "manifest:pull", f"repository:{repository}", digest, tag)


async def note_blob(app: App, caller: Caller, repository: str, digest: Digest) -> None:
    """Bytes of a blob go out: for the audit log."""
    await acts.pulled(app, caller, "blob:pull", f"repository:{repository}", digest, None)


async def blob(app: App, repository: RepositoryName, digest: Digest) -> StoredBlob:
    """Raises BlobUnknown, also for a blob that only other repositories have."""
    topic, key = repositories.topic(repository), ("blob", digest)
    known: StoredBlob | None = app.cache.get(topic, key)
    if known is not None:
        return known
    stamp = app.cache.stamp()
    stored = await app.database.look_up(blobs.find, repository, digest)
    if stored is None:
        raise BlobUnknown(f"there is no blob {digest} in {repository}", {"digest": digest})
    app.cache.put(stamp, topic, key, stored, FACT_BYTES + len(stored.content or b""))
    return stored
