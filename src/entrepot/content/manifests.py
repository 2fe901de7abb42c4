"""Manifests: kept and served byte for byte, with the edges read from them."""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from entrepot.content import blobs, repositories
from entrepot.content.errors import ManifestUnknown, ReferenceUnknown
from entrepot.content.tables import manifest_blobs, manifest_children, manifests, tags
from entrepot.content.tables import repositories as repositories_table
from entrepot.database import dialect
from entrepot.database.changes import announce
from entrepot.database.statements import Statement
from entrepot.oci.digest import Digest
from entrepot.oci.errors import ManifestInvalid
from entrepot.oci.manifest import Descriptor, ManifestDocument
from entrepot.oci.name import RepositoryName, Tag

DIGESTS_IN_QUERY_MAX = 500
"""Digests looked up by one statement; both databases limit a statement's parameters."""


@dataclass(frozen=True, slots=True)
class StoredManifest:
    digest: Digest
    media_type: str
    payload: bytes


_COLUMNS = (manifests.c.digest, manifests.c.media_type, manifests.c.payload)
_BY_DIGEST = Statement(
    select(*_COLUMNS)
    .join(repositories_table, repositories_table.c.id == manifests.c.repository_id)
    .where(repositories_table.c.name == bindparam("name"), manifests.c.digest == bindparam("digest"))
)
_BY_TAG = Statement(
    select(*_COLUMNS)
    .join(tags, tags.c.manifest_id == manifests.c.id)
    .join(repositories_table, repositories_table.c.id == tags.c.repository_id)
    .where(repositories_table.c.name == bindparam("name"), tags.c.name == bindparam("tag"))
)
_ID = Statement(
    select(manifests.c.id).where(
        manifests.c.repository_id == bindparam("repository_id"), manifests.c.digest == bindparam("digest")
    )
)
_PRESENT = select(manifests.c.digest, func.length(manifests.c.payload).label("size")).where(
    manifests.c.repository_id == bindparam("repository_id"),
    manifests.c.digest.in_(bindparam("digests", expanding=True)),
)
_INSERT = Statement(dialect.insert_or_ignore(manifests, "repository_id", "digest", returning=(manifests.c.id,)))
_INSERT_BLOBS = insert(manifest_blobs)
_INSERT_CHILDREN = insert(manifest_children)
_DELETE_TAGS = delete(tags).where(tags.c.manifest_id == bindparam("manifest_id"))
_DELETE = delete(manifests).where(manifests.c.id == bindparam("manifest_id"))


def find(connection: Connection, repository: RepositoryName, reference: Digest | Tag) -> StoredManifest | None:
    if isinstance(reference, Digest):
        row = _BY_DIGEST.one(connection, name=repository, digest=reference)
    else:
        row = _BY_TAG.one(connection, name=repository, tag=reference)
    if row is None:
        return None
    digest, media_type, payload = row
    return StoredManifest(Digest(digest), media_type, bytes(payload))


def record(
    connection: Connection,
    repository: RepositoryName,
    digest: Digest,
    document: ManifestDocument,
    *,
    pushed_by: str,
    sparse: bool,
    now_ms: int,
) -> tuple[int, int]:
    """Keep the manifest; answers (repository id, manifest id). One that is there already stays as it is.

    Raises ReferenceUnknown when it needs what the repository does not have (unless sparse manifests are allowed) and
    ManifestInvalid when it gives a blob another size than it has.
    """
    repository_id = repositories.ensure(connection, repository, now_ms)
    known = _id(connection, repository_id, digest)
    if known is not None:
        return repository_id, known
    blob_ids = _check_blobs(connection, repository_id, document, sparse=sparse)
    if not sparse:
        _check_children(connection, repository_id, document.children)
    inserted = _INSERT.one(
        connection,
        repository_id=repository_id,
        digest=digest,
        media_type=document.media_type,
        artifact_type=document.artifact_type,
        subject=document.subject.digest if document.subject else None,
        payload=document.payload,
        referrer_descriptor=document.referrer_descriptor(digest) if document.subject else None,
        pushed_by=pushed_by,
        pushed_at_ms=now_ms,
    )
    if inserted is None:  # PostgreSQL only: another transaction kept the same manifest at the same time.
        return record(connection, repository, digest, document, pushed_by=pushed_by, sparse=sparse, now_ms=now_ms)
    manifest_id: int = inserted[0]
    edges = [{"manifest_id": manifest_id, "repository_id": repository_id, "blob_id": blob_id} for blob_id in blob_ids]
    if edges:
        connection.execute(_INSERT_BLOBS, edges)
    children = [{"manifest_id": manifest_id, "digest": child} for child in {c.digest for c in document.children}]
    if children:
        connection.execute(_INSERT_CHILDREN, children)
    return repository_id, manifest_id


def remove(connection: Connection, repository: RepositoryName, digest: Digest) -> None:
    """Take the manifest and its tags out of the repository; its blobs stay linked. Raises ManifestUnknown."""
    repository_id = repositories.require(connection, repository)
    manifest_id = _id(connection, repository_id, digest)
    if manifest_id is None:
        raise ManifestUnknown(f"there is no manifest {digest} in {repository}", {"digest": digest})
    connection.execute(_DELETE_TAGS, {"manifest_id": manifest_id})
    connection.execute(_DELETE, {"manifest_id": manifest_id})
    announce(connection, repositories.topic(repository))


def _id(connection: Connection, repository_id: int, digest: Digest) -> int | None:
    row = _ID.one(connection, repository_id=repository_id, digest=digest)
    return None if row is None else int(row[0])


def _check_blobs(connection: Connection, repository_id: int, document: ManifestDocument, *, sparse: bool) -> set[int]:
    """The ids of the manifest's blobs that are here; foreign layers may be missing."""
    needed = {blob.digest: blob for blob in document.blobs}
    found: dict[str, tuple[int, int]] = {}
    for digests in _pages([*needed, *(blob.digest for blob in document.foreign_blobs)]):
        found |= blobs.linked(connection, repository_id, digests)
    missing = [digest for digest in needed if digest not in found]
    if missing and not sparse:
        raise _unknown("blob", missing)
    for blob in document.blobs:
        if blob.digest in found:
            _check_size(blob, found[blob.digest][1])
    return {blob_id for blob_id, _ in found.values()}


def _check_children(connection: Connection, repository_id: int, children: tuple[Descriptor, ...]) -> None:
    found: dict[str, int] = {}
    for digests in _pages([child.digest for child in children]):
        rows = connection.execute(_PRESENT, {"repository_id": repository_id, "digests": digests})
        found |= {row.digest: row.size for row in rows}
    missing = [child.digest for child in children if child.digest not in found]
    if missing:
        raise _unknown("manifest", missing)
    for child in children:
        _check_size(child, found[child.digest])


def _check_size(descriptor: Descriptor, size: int) -> None:
    if descriptor.size != size:
        raise ManifestInvalid(
            f"the manifest says that {descriptor.digest} has {descriptor.size} bytes, but it has {size}",
            {"digest": descriptor.digest, "size": size},
        )


def _unknown(kind: str, missing: list[Digest]) -> ReferenceUnknown:
    return ReferenceUnknown(
        f"the manifest needs a {kind} that is not in this repository: push it first ({missing[0]})",
        {"digest": missing[0], "missing": len(missing)},
    )


def _pages(digests: list[Digest]) -> list[list[Digest]]:
    unique = list(dict.fromkeys(digests))
    return [unique[start : start + DIGESTS_IN_QUERY_MAX] for start in range(0, len(unique), DIGESTS_IN_QUERY_MAX)]
