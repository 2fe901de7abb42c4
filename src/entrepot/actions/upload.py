"""Uploading a blob: bytes first, outside any transaction; the row last, when they are on stable storage."""

from collections.abc import AsyncIterator
from dataclasses import replace

from sqlalchemy import Connection

from entrepot.actions import acts
from entrepot.app import App
from entrepot.audit.actions import Action
from entrepot.audit.record import Act
from entrepot.content import blobs, uploads
from entrepot.content.errors import UploadChanged, too_large
from entrepot.content.uploads import UploadSession
from entrepot.errors import BadRange, ClientGone, EntrepotError, StorageFull, TooSlow, Unavailable
from entrepot.oci.digest import Digest
from entrepot.oci.name import RepositoryName
from entrepot.principal import Caller, Principal
from entrepot.storage import layout
from entrepot.storage.driver import UploadState
from entrepot.storage.errors import BlobDamaged, ContentMismatch
from entrepot.storage.store import StoredBlob

Body = AsyncIterator[bytes]


def start(app: App, principal: Principal, repository: RepositoryName, algorithm: str) -> tuple[UploadSession, str]:
    """A new session, and the last segment of its URL."""
    expires_at_ms = app.clock() + app.settings.registry.upload_expiry_seconds * 1000
    return uploads.start(app.keys.upload, repository, principal, algorithm, expires_at_ms)


def resume(app: App, principal: Principal, repository: RepositoryName, address: str) -> UploadSession:
    """Raises UploadUnknown."""
    return uploads.open_address(app.keys.upload, address, repository, principal, app.clock())


async def status(app: App, session: UploadSession) -> UploadState:
    """Raises UploadUnknown."""
    return await app.database.look_up(uploads.find, session.id) or UploadState(session.id)


async def append(app: App, session: UploadSession, body: Body, offset: int | None) -> UploadState:
    """Receive the next bytes; `offset`, when given, is where the client believes they go.

    Raises UploadUnknown, BadRange, TooManyUploads, and what `BlobStore.receive` raises.
    """
    recorder = await _continue(app, session, offset)
    before = recorder.state
    after = await app.store.receive(before, _within_limit(app, before, body), session.algorithm, recorder.checkpoint)
    try:
        await recorder.checkpoint(after)
    except EntrepotError:
        await _discard_unrecorded(app, after, recorder.state)
        raise
    await _discard_unrecorded(app, before, after)
    return after


async def receive_whole(
    app: App, caller: Caller, session: UploadSession, repository: RepositoryName, digest: Digest, body: Body
) -> StoredBlob:
    """`finish` for a session that nobody was told of. Of what breaks off nothing is kept: it cannot be resumed."""
    try:
        return await finish(app, caller, session, repository, digest, body, 0)
    except (ClientGone, TooSlow):
        left = await app.database.look_up(uploads.find, session.id)
        if left is not None and await app.database.write(uploads.claim, left, durable=False):
            await app.store.discard(left)
        raise


async def finish(
    app: App,
    caller: Caller,
    session: UploadSession,
    repository: RepositoryName,
    digest: Digest,
    body: Body | None,
    offset: int | None,
) -> StoredBlob:
    """Receive the last bytes, if there are any, and make the upload a blob of the repository.

    Raises UploadUnknown, BadRange, ContentMismatch (the upload is gone then), and what `BlobStore.receive` raises.
    """
    recorder = await _continue(app, session, offset)
    before = after = recorder.state
    if body is not None:
        after = await app.store.receive(before, _within_limit(app, before, body), digest.algorithm, recorder.checkpoint)
    elif (
        recorder.recorded is None and (known := await app.database.look_up(blobs.find, repository, digest)) is not None
    ):
        return known  # The client did not hear that it had finished, and asks again.
    try:
        stored = await app.store.commit(after, digest)
    except ContentMismatch:
        if recorder.recorded is None or await app.database.write(uploads.claim, recorder.recorded, durable=False):
            await app.store.discard(after)
        else:
            await _discard_unrecorded(app, after, recorder.state)
        raise
    except EntrepotError:
        await _discard_unrecorded(app, after, recorder.state)
        raise
    blob = await _record(app, caller, repository, stored, recorder.recorded)
    await _discard_unrecorded(app, before, after)
    return blob


async def cancel(app: App, session: UploadSession) -> None:
    """Raises UploadUnknown when that was done before."""
    await app.store.discard(await app.database.write(uploads.cancel, session, durable=False))


class _Recorder:
    """Keeps the upload's row behind its bytes. `recorded` is what the row says, None when there is none."""

    def __init__(self, app: App, session: UploadSession, recorded: UploadState | None) -> None:
        self._app = app
        self._session = session
        self.recorded = recorded

    @property
    def state(self) -> UploadState:
        return self.recorded or UploadState(self._session.id)

    async def checkpoint(self, state: UploadState) -> None:
        if not state.offset:
            # Nothing has arrived, or nothing is left of it: then there is no row, and none that counts as unfinished.
            if self.recorded is not None:
                await self._app.database.write(uploads.claim, self.recorded, durable=False)
                self.recorded = None
            return
        registry = self._app.settings.registry
        expires_at_ms = self._app.clock() + registry.upload_expiry_seconds * 1000
        await self._app.database.write(
            uploads.move,
            self._session,
            self.recorded,
            state,
            registry.uploads_per_user_max,
            expires_at_ms,
            durable=False,
        )
        self.recorded = state


async def _continue(app: App, session: UploadSession, offset: int | None) -> _Recorder:
    recorder = _Recorder(app, session, await app.database.look_up(uploads.find, session.id))
    state = recorder.state
    if offset is not None and offset != state.offset:
        raise BadRange(
            f"the upload's next byte is {state.offset}, not {offset}: continue from there", {"offset": state.offset}
        )
    return recorder


async def _within_limit(app: App, state: UploadState, body: Body) -> AsyncIterator[bytes]:
    """The body, as far as the blob may grow; its bytes are counted, whatever becomes of them. Raises BlobTooLarge."""
    may_grow = left = app.settings.registry.blob_bytes_max - state.offset
    try:
        async for piece in body:
            left -= len(piece)
            if left < 0:
                raise too_large(app.settings.registry.blob_bytes_max)
            yield piece
            del piece
    finally:
        app.metrics.received(may_grow - left)


async def _discard_unrecorded(app: App, state: UploadState, recorded: UploadState) -> None:
    """Remove those parts of a state that the recorded one has not: else they would stay until garbage is collected."""
    parts = tuple(part for part in state.parts if part not in recorded.parts)
    if parts:
        await app.store.discard(replace(state, parts=parts))


async def _discard_unclaimed(app: App, location: str, recorded: UploadState | None) -> None:
    """Remove what became no blob here. A part that the row names may have become one in another request."""
    if recorded is None or location not in {layout.part(recorded.id, part) for part in recorded.parts}:
        await app.store.delete(location)


async def _record(
    app: App, caller: Caller, repository: RepositoryName, stored: StoredBlob, recorded: UploadState | None
) -> StoredBlob:
    """The bytes are on stable storage: make the row. Of two equal blobs one is kept, and it is a whole one."""
    act = Act(Action.BLOB_PUSH, f"repository:{repository}", stored.digest, detail={"size": stored.size})
    now_ms = app.clock()

    def make_row(connection: Connection) -> StoredBlob:
        if recorded is not None and not uploads.claim(connection, recorded):
            raise UploadChanged("another request finished or cancelled this upload: ask whether the blob is there")
        return blobs.record(connection, repository, stored, now_ms)

    try:
        known = await acts.change(app, caller, act, make_row)
    except EntrepotError as error:
        # A database that fails in another way than for want of room may have made the row: then the bytes stay.
        if stored.location is not None and (isinstance(error, StorageFull) or not isinstance(error, Unavailable)):
            await _discard_unclaimed(app, stored.location, recorded)
        raise
    if known.location == stored.location:
        return stored
    try:
        await app.store.check(known)
    except BlobDamaged:
        if await app.database.write(blobs.replace, known, stored):
            known, stored = stored, known
    if stored.location is not None:
        # Not waited for: how long it takes would tell that others have pushed the same bytes.
        app.store.delete_soon(stored.location)
    return known
