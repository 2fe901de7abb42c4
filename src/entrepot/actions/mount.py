"""Mounting: a repository gets a blob that another one has, without its bytes moving."""

from entrepot.access.permissions import Permission
from entrepot.actions import acts, authorize
from entrepot.app import App
from entrepot.audit.actions import Action
from entrepot.audit.record import Act
from entrepot.content import blobs
from entrepot.oci.digest import Digest
from entrepot.oci.name import RepositoryName
from entrepot.principal import Caller
from entrepot.storage.errors import BlobDamaged
from entrepot.storage.store import StoredBlob


async def blob(
    app: App,
    caller: Caller,
    repository: RepositoryName,
    digest: Digest,
    source: RepositoryName | None,
) -> StoredBlob | None:
    """Link the repository to the blob if the principal may pull it from the source, or from any when none is named.

    None when that cannot be done, whatever the reason: the answer does not tell whether the blob exists.
    """
    sources = [source] if source is not None else await app.database.read(blobs.holders, digest)
    now_ms = app.clock()
    for candidate in sources:
        # As far as the credentials reach, too: a token for one repository brings nothing from another.
        if not await authorize.may(app, caller, Permission.REPOSITORY_PULL, candidate):
            continue
        stored = await app.database.look_up(blobs.find, candidate, digest)
        if stored is None or not await _is_whole(app, stored):
            continue
        act = Act(Action.BLOB_MOUNT, f"repository:{repository}", digest, detail={"from": candidate})
        return await acts.change(app, caller, act, lambda within: blobs.link(within, repository, digest, now_ms))
    return None


async def _is_whole(app: App, stored: StoredBlob) -> bool:
    try:
        await app.store.check(stored)
    except BlobDamaged:
        return False
    return True
