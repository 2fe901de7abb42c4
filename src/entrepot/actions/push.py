"""Pushing a manifest: everything it needs is here already, so one transaction makes it and its tags visible."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from entrepot.actions import accounts, acts
from entrepot.app import App
from entrepot.audit import record
from entrepot.audit.record import Act
from entrepot.content import manifests, repositories, tags
from entrepot.content.preconditions import ALWAYS, Precondition
from entrepot.oci.digest import Digest
from entrepot.oci.manifest import ManifestDocument
from entrepot.oci.name import RepositoryName, Tag
from entrepot.principal import Origin, Principal


@dataclass(frozen=True, slots=True)
class PushedManifest:
    digest: Digest
    tags: tuple[Tag, ...]
    subject: Digest | None


async def manifest(
    app: App,
    principal: Principal,
    origin: Origin,
    repository: RepositoryName,
    reference: Digest | Tag,
    digest: Digest,
    names: Sequence[Tag],
    document: ManifestDocument,
    precondition: Precondition,
) -> PushedManifest:
    """Keep the manifest and point the tags to it, if what is at the reference is as the precondition says.

    Raises ReferenceUnknown, ManifestInvalid, PreconditionFailed.
    """
    sparse = app.settings.registry.allow_sparse_manifests
    unique = tuple(dict.fromkeys(names))
    detail = {"tags": list(unique)} if unique else None
    act = await acts.compose(
        app, principal, origin, Act("manifest:push", f"repository:{repository}", digest, detail=detail)
    )
    moves = _Moves(app.clock(), principal, origin, await accounts.owner_key(app, principal))
    conditions: dict[Digest | Tag, Precondition] = {reference: precondition}
    await app.database.write(
        _record,
        repository,
        digest,
        unique,
        document,
        act,
        moves,
        conditions,
        pushed_by=principal,
        sparse=sparse,
        now_ms=app.clock(),
    )
    return PushedManifest(digest, unique, document.subject.digest if document.subject else None)


@dataclass(frozen=True, slots=True)
class _Moves:
    """For tags that turn out to have named another manifest before."""

    at_ms: int
    principal: Principal
    origin: Origin
    owner: str | None

    def compose(self, repository: RepositoryName, tag: Tag, digest: Digest, before: Digest) -> bytes:
        act = Act("tag:move", f"repository:{repository}", digest, detail={"tag": tag, "from": before})
        return record.compose(self.at_ms, self.principal, self.origin, act, owner=self.owner)


def _record(
    connection: Connection,
    repository: RepositoryName,
    digest: Digest,
    names: Sequence[Tag],
    document: ManifestDocument,
    act: bytes,
    moves: _Moves,
    conditions: Mapping[Digest | Tag, Precondition],
    *,
    pushed_by: Principal,
    sparse: bool,
    now_ms: int,
) -> None:
    recorded = manifests.record(
        connection,
        repository,
        digest,
        document,
        pushed_by=pushed_by,
        sparse=sparse,
        now_ms=now_ms,
        precondition=conditions.get(digest, ALWAYS),
    )
    record.write(connection, act)
    new_tags = 0
    for name in names:
        condition = conditions.get(name, ALWAYS)
        pointed = tags.point(
            connection,
            repository,
            recorded.repository_id,
            name,
            recorded.manifest_id,
            pushed_by,
            now_ms,
            condition,
        )
        new_tags += pointed.is_new
        if pointed.before is not None:
            record.write(connection, moves.compose(repository, name, digest, pointed.before))
    repositories.count(connection, recorded.repository_id, manifests=int(recorded.is_new), tags=new_tags)
