"""Manifests: kept and served byte for byte, with the edges read from them."""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, insert, select

from entrepot.content import blobs, repositories
from entrepot.content.errors import ManifestInUse, ManifestUnknown, ReferenceUnknown
from entrepot.content.preconditions import ALWAYS, Precondition
from entrepot.content.tables import edges, manifest_contents, manifests, tags
from entrepot.content.tables import repositories as repositories_table
from entrepot.database import dialect, topics
from entrepot.database.changes import announce
from entrepot.database.statements import Statement
from entrepot.oci.digest import Digest
from entrepot.oci.errors import ManifestInvalid
from entrepot.oci.manifest import Descriptor, Edge, Kind, ManifestDocument
from entrepot.oci.name import RepositoryName, Tag
from entrepot.principal import Principal

DIGESTS_IN_QUERY_MAX = 500
"""Digests looked up by one statement; both databases limit a statement's parameters."""
MISSING_TOLD_MAX = 100
"""Of what a manifest needs and is not there, what the error lists."""


@dataclass(frozen=True, slots=True)
class StoredManifest:
    digest: Digest
    media_type: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Recorded:
    """The numbers of a manifest and its repository."""

    repository_id: int
    manifest_id: int
    is_new: bool


_COLUMNS = (manifests.c.digest, manifests.c.media_type, manifest_contents.c.payload)
_BY_DIGEST = Statement(
    select(*_COLUMNS)
    .join(manifest_contents, manifest_contents.c.manifest_id == manifests.c.id)
    .join(repositories_table, repositories_table.c.id == manifests.c.repository_id)
    .where(repositories_table.c.name == bindparam("name"), manifests.c.digest == bindparam("digest"))
)
_BY_TAG = Statement(
    select(*_COLUMNS)
    .join(manifest_contents, manifest_contents.c.manifest_id == manifests.c.id)
    .join(tags, tags.c.manifest_id == manifests.c.id)
    .join(repositories_table, repositories_table.c.id == tags.c.repository_id)
    .where(repositories_table.c.name == bindparam("name"), tags.c.name == bindparam("tag"))
)
_ID = Statement(
    select(manifests.c.id).where(
        manifests.c.repository_id == bindparam("repository_id"), manifests.c.digest == bindparam("digest")
    )
)
_PRESENT = select(manifests.c.digest, manifests.c.size).where(
    manifests.c.repository_id == bindparam("repository_id"),
    manifests.c.digest.in_(bindparam("digests", expanding=True)),
)
_PARENTS = (
    select(manifests.c.id, manifests.c.digest, tags.c.name)
    .join(edges, edges.c.manifest_id == manifests.c.id)
    # A referrers fallback tag lists what clients may delete one by one.
    .outerjoin(tags, (tags.c.manifest_id == manifests.c.id) & tags.c.hidden.is_(False))
    .where(
        edges.c.repository_id == bindparam("repository_id"),
        edges.c.digest.in_(bindparam("digests", expanding=True)),
    )
)
_INSERT = Statement(dialect.insert_or_ignore(manifests, "repository_id", "digest", returning=(manifests.c.id,)))
_INSERT_CONTENT = Statement(insert(manifest_contents))
_INSERT_EDGE = Statement(insert(edges))
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
    pushed_by: Principal,
    sparse: bool,
    now_ms: int,
    precondition: Precondition = ALWAYS,
) -> Recorded:
    """Keep the manifest. One that is there already stays as it is. A new one is still to be counted.

    Raises ReferenceUnknown when it needs what the repository does not have (unless sparse manifests are allowed),
    ManifestInvalid when it gives a blob another size than it has, and PreconditionFailed.
    """
    repository_id = repositories.ensure(connection, repository, now_ms)
    known = _id(connection, repository_id, digest)
    precondition.require("the manifest", None if known is None else digest)
    if known is not None:
        return Recorded(repository_id, known, is_new=False)
    to_blobs = document.blobs
    blob_ids = _find_blobs(connection, repository_id, to_blobs)
    missing = [edge.digest for edge in to_blobs if edge.required and edge.digest not in blob_ids]
    missing += _check_children(connection, repository_id, document.children)
    if missing and not sparse:
        raise _unknown(missing)
    inserted = _INSERT.one(
        connection,
        repository_id=repository_id,
        digest=digest,
        media_type=document.media_type,
        artifact_type=document.artifact_type,
        subject=document.subject.digest if document.subject else None,
        size=len(document.payload),
        pushed_by_id=pushed_by.user_id,
        pushed_by=pushed_by.key,
        pushed_at_ms=now_ms,
    )
    if inserted is None:  # PostgreSQL only: another transaction kept the same manifest at the same time.
        return record(
            connection,
            repository,
            digest,
            document,
            pushed_by=pushed_by,
            sparse=sparse,
            now_ms=now_ms,
            precondition=precondition,
        )
    manifest_id: int = inserted[0]
    _INSERT_CONTENT.run(
        connection,
        manifest_id=manifest_id,
        referrer_descriptor=document.referrer_descriptor(digest) if document.subject else None,
        payload=document.payload,
    )
    here = {"manifest_id": manifest_id, "repository_id": repository_id}
    _INSERT_EDGE.run_each(connection, [here | _end(edge, blob_ids) for edge in document.edges])
    return Recorded(repository_id, manifest_id, is_new=True)


def remove(
    connection: Connection, repository: RepositoryName, digest: Digest, precondition: Precondition = ALWAYS
) -> None:
    """Take the manifest and its tags out of the repository; its blobs stay linked.

    Raises ManifestUnknown, ManifestInUse for a part of an index that a tag names, PreconditionFailed.
    """
    repository_id = repositories.require(connection, repository)
    manifest_id = _id(connection, repository_id, digest)
    precondition.require("the manifest", digest if manifest_id is not None else None)
    if manifest_id is None:
        raise ManifestUnknown(f"there is no manifest {digest} in {repository}", {"digest": digest})
    tag = _tag_above(connection, repository_id, digest)
    if tag is not None:
        raise ManifestInUse(
            f"{digest} is part of the image with the tag {tag}: delete that tag or its manifest first",
            {"digest": digest, "tag": tag},
        )
    untagged = connection.execute(_DELETE_TAGS, {"manifest_id": manifest_id}).rowcount
    removed = connection.execute(_DELETE, {"manifest_id": manifest_id}).rowcount
    repositories.count(connection, repository_id, tags=-untagged, manifests=-removed)
    announce(connection, topics.content(repository))


def _tag_above(connection: Connection, repository_id: int, digest: Digest) -> str | None:
    """A tag of an index that has the manifest in it, however deep."""
    seen: set[int] = set()
    digests: list[str] = [digest]
    while digests:
        rows = connection.execute(_PARENTS, {"repository_id": repository_id, "digests": digests[:DIGESTS_IN_QUERY_MAX]})
        digests = digests[DIGESTS_IN_QUERY_MAX:]
        for manifest_id, parent, tag in rows:
            if tag is not None:
                return str(tag)
            if manifest_id not in seen:
                seen.add(manifest_id)
                digests.append(parent)
    return None


def _end(edge: Edge, blob_ids: dict[Digest, int]) -> dict[str, object]:
    """Where an edge leads to: a blob of the repository, by its number; or what is known by its digest alone."""
    blob_id = None if edge.kind is Kind.MANIFEST else blob_ids.get(edge.digest)
    digest = edge.digest if blob_id is None else None
    return {"position": edge.position, "kind": edge.kind, "blob_id": blob_id, "digest": digest}


def _id(connection: Connection, repository_id: int, digest: Digest) -> int | None:
    row = _ID.one(connection, repository_id=repository_id, digest=digest)
    return None if row is None else int(row[0])


def _find_blobs(connection: Connection, repository_id: int, edges: tuple[Edge, ...]) -> dict[Digest, int]:
    """The ids of those that are here. Raises ManifestInvalid for another size than one has."""
    found: dict[str, tuple[int, int]] = {}
    for digests in _pages(edges):
        found |= blobs.linked(connection, repository_id, digests)
    for edge in edges:
        if edge.digest in found:
            _check_size(edge.descriptor, found[edge.digest][1])
    return {Digest(digest): blob_id for digest, (blob_id, _) in found.items()}


def _check_children(connection: Connection, repository_id: int, edges: tuple[Edge, ...]) -> list[Digest]:
    """Those that are missing. Raises ManifestInvalid for another size than one has."""
    found: dict[str, int] = {}
    for digests in _pages(edges):
        rows = connection.execute(_PRESENT, {"repository_id": repository_id, "digests": digests})
        found |= {row.digest: row.size for row in rows}
    for edge in edges:
        if edge.digest in found:
            _check_size(edge.descriptor, found[edge.digest])
    return [edge.digest for edge in edges if edge.digest not in found]


def _check_size(descriptor: Descriptor, size: int) -> None:
    if descriptor.size != size:
        raise ManifestInvalid(
            f"the manifest says that {descriptor.digest} has {descriptor.size} bytes, but it has {size}",
            {"digest": descriptor.digest, "size": size},
        )


def _unknown(missing: list[Digest]) -> ReferenceUnknown:
    unique = list(dict.fromkeys(missing))
    more = f" and {len(unique) - 1} more" if len(unique) > 1 else ""
    return ReferenceUnknown(
        f"the manifest needs {unique[0]}{more}, missing in this repository: push that first",
        {"digests": unique[:MISSING_TOLD_MAX], "missing": len(unique)},
    )


def _pages(edges: tuple[Edge, ...]) -> list[list[Digest]]:
    unique = list(dict.fromkeys(edge.digest for edge in edges))
    return [unique[start : start + DIGESTS_IN_QUERY_MAX] for start in range(0, len(unique), DIGESTS_IN_QUERY_MAX)]
