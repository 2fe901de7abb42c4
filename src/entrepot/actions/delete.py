"""Deleting: what goes and the record of it, in one transaction."""

from entrepot.actions import acts
from entrepot.app import App
from entrepot.audit.actions import Action
from entrepot.audit.record import Act
from entrepot.content import blobs, manifests, tags
from entrepot.content.preconditions import Precondition
from entrepot.oci.digest import Digest
from entrepot.oci.name import RepositoryName, Tag
from entrepot.principal import Caller


async def tag(app: App, caller: Caller, repository: RepositoryName, name: Tag, precondition: Precondition) -> None:
    """Raises ManifestUnknown, PreconditionFailed."""
    act = Act(Action.TAG_DELETE, f"repository:{repository}", detail={"tag": name})
    await acts.change(app, caller, act, lambda connection: tags.remove(connection, repository, name, precondition))


async def manifest(
    app: App,
    caller: Caller,
    repository: RepositoryName,
    digest: Digest,
    precondition: Precondition,
) -> None:
    """Raises ManifestUnknown, ManifestInUse, PreconditionFailed."""
    act = Act(Action.MANIFEST_DELETE, f"repository:{repository}", digest)
    await acts.change(
        app, caller, act, lambda connection: manifests.remove(connection, repository, digest, precondition)
    )


async def blob(app: App, caller: Caller, repository: RepositoryName, digest: Digest) -> None:
    """Raises BlobUnknown, BlobInUse."""
    act = Act(Action.BLOB_DELETE, f"repository:{repository}", digest)
    await acts.change(app, caller, act, lambda connection: blobs.unlink(connection, repository, digest))
