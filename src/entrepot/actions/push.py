"""Pushing a manifest: everything it needs is here already, so one transaction makes it and its tags visible."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from entrepot.actions import acts
from entrepot.app import App
from entrepot.audit.actions import Action
from entrepot.audit.record import Act
from entrepot.content import manifests, repositories, tags
from entrepot.content.preconditions import ALWAYS, Precondition
from entrepot.oci.digest import Digest
from entrepot.oci.manifest import ManifestDocument
from entrepot.oci.name import RepositoryName, Tag
from entrepot.principal import Caller


@dataclass(frozen=True, slots=True)
class PushedManifest:
    digest: Digest
    tags: tuple[Tag, ...]
    subject: Digest | None


async def manifest(
    app: App,
    caller: Caller,
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
    unique, now_ms = tuple(dict.fromkeys(names)), app.clock()
    sparse = app.settings.registry.allow_sparse_manifests
    resource = f"repository:{repository}"
    push = Act(Action.MANIFEST_PUSH, resource, digest, detail={"tags": list(unique)} if unique else None)
    pushed = PushedManifest(digest, unique, document.subject.digest if document.subject else None)

    def run(connection: Connection) -> tuple[PushedManifest, list[Act]]:
        recorded = manifests.record(
            connection,
            repository,
            digest,
            document,
            pushed_by=caller.principal,
            sparse=sparse,
            now_ms=now_ms,
            precondition=precondition if reference == digest else ALWAYS,
        )
        done, new_tags = [push], 0
        here, manifest_id = recorded.repository_id, recorded.manifest_id
        for name in unique:
            condition = precondition if reference == name else ALWAYS
            pointed = tags.point(connection, repository, here, name, manifest_id, caller.principal, now_ms, condition)
            new_tags += pointed.is_new
            if pointed.before is not None:
                done.append(Act(Action.TAG_MOVE, resource, digest, detail={"tag": name, "from": pointed.before}))
        repositories.count(connection, here, manifests=int(recorded.is_new), tags=new_tags)
        return pushed, done

    return await acts.change_as(app, caller, run)
