"""Pushing a manifest: everything it needs is here already, so one transaction makes it and its tags visible."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from entrepot.app import App
from entrepot.content import manifests, tags
from entrepot.oci.digest import Digest
from entrepot.oci.manifest import ManifestDocument
from entrepot.oci.name import RepositoryName, Tag
from entrepot.principal import Principal


@dataclass(frozen=True, slots=True)
class PushedManifest:
    digest: Digest
    tags: tuple[Tag, ...]
    subject: Digest | None


async def manifest(
    app: App,
    principal: Principal,
    repository: RepositoryName,
    digest: Digest,
    names: Sequence[Tag],
    document: ManifestDocument,
) -> PushedManifest:
    """Keep the manifest and point the tags to it. Raises ReferenceUnknown, ManifestInvalid."""
    sparse = app.settings.registry.allow_sparse_manifests
    unique = tuple(dict.fromkeys(names))
    await app.database.write(
        _record, repository, digest, unique, document, pushed_by=principal.key, sparse=sparse, now_ms=app.clock()
    )
    return PushedManifest(digest, unique, document.subject.digest if document.subject else None)


def _record(
    connection: Connection,
    repository: RepositoryName,
    digest: Digest,
    names: Sequence[Tag],
    document: ManifestDocument,
    *,
    pushed_by: str,
    sparse: bool,
    now_ms: int,
) -> None:
    repository_id, manifest_id = manifests.record(
        connection, repository, digest, document, pushed_by=pushed_by, sparse=sparse, now_ms=now_ms
    )
    for name in names:
        tags.point(connection, repository, repository_id, name, manifest_id, now_ms)
