"""Tags: names in a repository that point to a manifest."""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, select, update

from entrepot.content import repositories
from entrepot.content.errors import ManifestUnknown
from entrepot.content.preconditions import ALWAYS, Precondition
from entrepot.content.tables import manifests, tags
from entrepot.database import dialect, topics
from entrepot.database.changes import announce
from entrepot.database.statements import Statement
from entrepot.oci.digest import Digest
from entrepot.oci.name import RepositoryName, Tag
from entrepot.principal import Principal

_INSERT = Statement(dialect.insert_or_ignore(tags, "repository_id", "name"))
_MOVE = Statement(
    update(tags)
    .where(
        tags.c.repository_id == bindparam("of_repository"),
        tags.c.name == bindparam("tag"),
        tags.c.manifest_id != bindparam("to_manifest"),
    )
    .values(
        manifest_id=bindparam("to_manifest"),
        updated_by_id=bindparam("by_id"),
        updated_by=bindparam("by"),
        updated_at_ms=bindparam("now_ms"),
    )
)
_CURRENT = (
    select(manifests.c.digest)
    .join(tags, tags.c.manifest_id == manifests.c.id)
    .where(tags.c.repository_id == bindparam("repository_id"), tags.c.name == bindparam("name"))
    .with_for_update(of=tags)
)
_DELETE = delete(tags).where(tags.c.repository_id == bindparam("repository_id"), tags.c.name == bindparam("name"))
_NAMES = (
    select(tags.c.name)
    .where(
        tags.c.repository_id == bindparam("repository_id"), tags.c.name > bindparam("after"), tags.c.hidden.is_(False)
    )
    .order_by(tags.c.name)
    .limit(bindparam("limit"))
)
_TAGGED = (
    _NAMES.with_only_columns(
        tags.c.name,
        manifests.c.digest,
        manifests.c.media_type,
        manifests.c.size,
        manifests.c.pushed_by,
        tags.c.updated_by,
        tags.c.updated_at_ms,
    )
).join(manifests, manifests.c.id == tags.c.manifest_id)


@dataclass(frozen=True, slots=True)
class Tagged:
    """A tag and what it names.

    `size` is the manifest's own bytes; `updated_by` and the time (milliseconds since the epoch) are of the tag.
    """

    name: str
    digest: str
    media_type: str
    size: int
    pushed_by: str
    updated_by: str
    updated_at_ms: int


@dataclass(frozen=True, slots=True)
class Pointed:
    """`before` is what a tag named that was moved; None for one that was made, or named the same already."""

    before: Digest | None
    is_new: bool


def point(
    connection: Connection,
    repository: RepositoryName,
    repository_id: int,
    tag: Tag,
    manifest_id: int,
    updated_by: Principal,
    now_ms: int,
    precondition: Precondition = ALWAYS,
) -> Pointed:
    """Make the tag name this manifest. A new one is still to be counted.

    Raises PreconditionFailed.
    """
    added = _INSERT.run(
        connection,
        repository_id=repository_id,
        name=tag,
        manifest_id=manifest_id,
        hidden=tag.is_referrers_fallback,
        updated_by_id=updated_by.user_id,
        updated_by=updated_by.key,
        updated_at_ms=now_ms,
    )
    # Asked only when it is known whether the tag is there: of two who make or move it at once, one is the second.
    before = None if added else _lock(connection, repository_id, tag)
    precondition.require(f"the tag {tag}", before)
    if added or not _MOVE.run(
        connection,
        of_repository=repository_id,
        tag=tag,
        to_manifest=manifest_id,
        by_id=updated_by.user_id,
        by=updated_by.key,
        now_ms=now_ms,
    ):
        return Pointed(None, is_new=added > 0)
    announce(connection, topics.content(repository))
    return Pointed(before, is_new=False)


def remove(connection: Connection, repository: RepositoryName, tag: Tag, precondition: Precondition = ALWAYS) -> None:
    """Take the tag away; the manifest stays. Raises ManifestUnknown, PreconditionFailed."""
    repository_id = repositories.require(connection, repository)
    precondition.require(f"the tag {tag}", _lock(connection, repository_id, tag))
    removed = connection.execute(_DELETE, {"repository_id": repository_id, "name": tag})
    if removed.rowcount == 0:
        raise ManifestUnknown(f"there is no tag {tag} in {repository}", {"tag": tag})
    repositories.count(connection, repository_id, tags=-removed.rowcount)
    announce(connection, topics.content(repository))


def names(connection: Connection, repository: RepositoryName, after: str, limit: int) -> list[str]:
    """Tag names in byte order, after the given one; fallback tags of the referrers API are left out.

    Raises RepositoryUnknown."""
    repository_id = repositories.require(connection, repository)
    return list(connection.execute(_NAMES, {"repository_id": repository_id, "after": after, "limit": limit}).scalars())


def page(connection: Connection, repository: RepositoryName, *, after: str, limit: int) -> list[Tagged]:
    """As `names`, with what each tag names. Raises RepositoryUnknown."""
    repository_id = repositories.require(connection, repository)
    values = {"repository_id": repository_id, "after": after, "limit": limit}
    return [Tagged(*row) for row in connection.execute(_TAGGED, values)]


def _lock(connection: Connection, repository_id: int, tag: Tag) -> Digest | None:
    """What the tag names, which nobody else changes before the end of the transaction; None when it is not there."""
    digest = connection.execute(_CURRENT, {"repository_id": repository_id, "name": tag}).scalar_one_or_none()
    return None if digest is None else Digest(digest)
