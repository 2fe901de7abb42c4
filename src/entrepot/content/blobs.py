"""Blobs: bytes known by digest, and which repositories may read them."""

from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, delete, exists, select, update

from entrepot.content import repositories
from entrepot.content.errors import BlobInUse, BlobUnknown
from entrepot.content.tables import blob_contents, blobs, edges, repository_blobs
from entrepot.content.tables import repositories as repositories_table
from entrepot.database import dialect, topics
from entrepot.database.changes import announce
from entrepot.database.statements import Statement
from entrepot.oci.digest import Digest
from entrepot.oci.name import RepositoryName
from entrepot.storage.store import StoredBlob

MOUNT_SOURCES_MAX = 100
"""Repositories looked at for an anonymous mount."""
RENEWED_AFTER_MS = 5 * 60 * 1000
"""How old the time of a link's last use becomes before another use is written down."""

_LINKED = Statement(
    select(blobs.c.size, blobs.c.location, blob_contents.c.content)
    .outerjoin(blob_contents, blob_contents.c.blob_id == blobs.c.id)
    .join(repository_blobs, repository_blobs.c.blob_id == blobs.c.id)
    .join(repositories_table, repositories_table.c.id == repository_blobs.c.repository_id)
    .where(repositories_table.c.name == bindparam("name"), blobs.c.digest == bindparam("digest"))
)
# Not a join: SQLite would read all blobs of the repository, one by one, to find these few. With some 3,000 of them
# a fifth fewer images were pushed in a second.
_LINKED_MANY = select(blobs.c.digest, blobs.c.id, blobs.c.size).where(
    blobs.c.digest.in_(bindparam("digests", expanding=True)),
    exists().where(
        repository_blobs.c.repository_id == bindparam("repository_id"), repository_blobs.c.blob_id == blobs.c.id
    ),
)
_BY_DIGEST = (
    select(blobs.c.id, blobs.c.size, blobs.c.location, blob_contents.c.content)
    .outerjoin(blob_contents, blob_contents.c.blob_id == blobs.c.id)
    .where(blobs.c.digest == bindparam("digest"))
)
_ALL_HOLDERS = (
    select(repositories_table.c.name)
    .join(repository_blobs, repository_blobs.c.repository_id == repositories_table.c.id)
    .join(blobs, blobs.c.id == repository_blobs.c.blob_id)
    .where(blobs.c.digest == bindparam("digest"))
    .order_by(repositories_table.c.id)
)
_HOLDERS = _ALL_HOLDERS.limit(MOUNT_SOURCES_MAX)
_KNOWN_LOCATIONS = select(blobs.c.location).where(blobs.c.location.in_(bindparam("locations", expanding=True)))
_INSERT = Statement(dialect.insert_or_ignore(blobs, "digest"))
_INSERT_CONTENT = Statement(dialect.insert_or_ignore(blob_contents, "blob_id"))
_FACTS = Statement(select(blobs.c.id, blobs.c.size, blobs.c.location).where(blobs.c.digest == bindparam("digest")))
_LINK = Statement(dialect.insert_or_ignore(repository_blobs, "repository_id", "blob_id"))
_RENEW = Statement(
    update(repository_blobs)
    .where(
        repository_blobs.c.repository_id == bindparam("of_repository"),
        repository_blobs.c.blob_id == bindparam("of_blob"),
        repository_blobs.c.used_at_ms < bindparam("used_before_ms"),
    )
    .values(used_at_ms=bindparam("now_ms"))
)
_NEEDED = (
    select(edges.c.manifest_id)
    .where(
        edges.c.repository_id == bindparam("repository_id"),
        (edges.c.blob_id == bindparam("blob_id")) | (edges.c.digest == bindparam("digest")),
    )
    .limit(1)
)
_UNLINK = delete(repository_blobs).where(
    repository_blobs.c.repository_id == bindparam("repository_id"), repository_blobs.c.blob_id == bindparam("blob_id")
)


def find(connection: Connection, repository: RepositoryName, digest: Digest) -> StoredBlob | None:
    """The blob, if the repository is linked to it."""
    row = _LINKED.one(connection, name=repository, digest=digest)
    return None if row is None else _stored(digest, *row)


def linked(connection: Connection, repository_id: int, digests: Iterable[Digest]) -> dict[str, tuple[int, int]]:
    """Of these digests, those the repository is linked to: digest to (blob id, size in bytes)."""
    rows = connection.execute(_LINKED_MANY, {"repository_id": repository_id, "digests": list(digests)})
    return {row.digest: (row.id, row.size) for row in rows}


def holders(connection: Connection, digest: Digest) -> list[RepositoryName]:
    """Repositories that are linked to the blob, some of them when there are many."""
    return [RepositoryName(name) for name in connection.execute(_HOLDERS, {"digest": digest}).scalars()]


def record(connection: Connection, repository: RepositoryName, stored: StoredBlob, now_ms: int) -> StoredBlob:
    """Link the repository to the blob that was just stored.

    Returns the blob as it is now: what was just stored, or the one that was known before; see `replace` for one whose
    known bytes are damaged. Both take the same statements, and so about as long: that tells nobody what others have.
    """
    values = {
        "digest": stored.digest,
        "size": stored.size,
        "location": stored.location,
        "created_at_ms": now_ms,
    }
    row = None
    while row is None:  # It may be removed between the two.
        _INSERT.run(connection, **values)
        row = _FACTS.one(connection, digest=stored.digest)
    blob_id, size, location = row
    if location is None and stored.content is not None:
        _INSERT_CONTENT.run(connection, blob_id=blob_id, content=stored.content)
    _link(connection, repository, blob_id, size, now_ms)
    return StoredBlob(stored.digest, size, location, stored.content if location is None else None)


def replace(connection: Connection, damaged: StoredBlob, stored: StoredBlob) -> bool:
    """Put newly received bytes in the place of damaged ones. False when somebody else did, or the blob is gone."""
    replaced = connection.execute(
        update(blobs)
        .where(blobs.c.digest == damaged.digest, blobs.c.location == damaged.location)
        .values(location=stored.location, size=stored.size)
        .returning(blobs.c.id)
    ).scalar_one_or_none()
    if replaced is None:
        return False
    if stored.location is None:
        _INSERT_CONTENT.run(connection, blob_id=replaced, content=stored.content)
    for name in connection.execute(_ALL_HOLDERS, {"digest": stored.digest}).scalars():
        announce(connection, topics.content(name))
    return True


def link(connection: Connection, repository: RepositoryName, digest: Digest, now_ms: int) -> StoredBlob:
    """Let the repository read a blob. Raises BlobUnknown when it is gone."""
    row = connection.execute(_BY_DIGEST, {"digest": digest}).one_or_none()
    if row is None:
        raise BlobUnknown(f"there is no blob {digest}", {"digest": digest})
    _link(connection, repository, row.id, row.size, now_ms)
    return _stored(digest, row.size, row.location, row.content)


def unlink(connection: Connection, repository: RepositoryName, digest: Digest) -> None:
    """Take the blob out of the repository. Raises BlobUnknown, or BlobInUse when a manifest there needs it."""
    repository_id = repositories.require(connection, repository)
    blob_id, size = linked(connection, repository_id, [digest]).get(digest, (None, 0))
    if blob_id is None:
        raise BlobUnknown(f"there is no blob {digest} in {repository}", {"digest": digest})
    key = {"repository_id": repository_id, "blob_id": blob_id}
    if connection.execute(_NEEDED, {**key, "digest": digest}).first() is not None:
        raise BlobInUse(f"a manifest in {repository} needs this blob: delete the manifest first", {"digest": digest})
    unlinked = connection.execute(_UNLINK, key).rowcount
    repositories.count(connection, repository_id, size=-size * unlinked)
    announce(connection, topics.content(repository))


def known_locations(connection: Connection, locations: list[str]) -> set[str]:
    """Of these locations, those that a blob is at."""
    return set(connection.execute(_KNOWN_LOCATIONS, {"locations": locations}).scalars())


def _link(connection: Connection, repository: RepositoryName, blob_id: int, size: int, now_ms: int) -> None:
    repository_id = repositories.ensure(connection, repository, now_ms)
    if _LINK.run(connection, repository_id=repository_id, blob_id=blob_id, used_at_ms=now_ms):
        repositories.count(connection, repository_id, size=size)
    else:
        _RENEW.run(
            connection,
            of_repository=repository_id,
            of_blob=blob_id,
            used_before_ms=now_ms - RENEWED_AFTER_MS,
            now_ms=now_ms,
        )


def _stored(digest: Digest, size: int, location: str | None, content: bytes | None) -> StoredBlob:
    return StoredBlob(digest, size, location, None if content is None else bytes(content))
