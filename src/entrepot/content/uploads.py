"""Uploads between two requests.

Until bytes have arrived an upload is only its address, sealed so that nobody else can use it; a row says how far it is.
"""

import base64
import hashlib
import hmac
import re
import uuid
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, select, update

from entrepot.content.errors import TooManyUploads, UploadChanged, UploadUnknown
from entrepot.content.tables import uploads
from entrepot.database import dialect
from entrepot.database.statements import Statement
from entrepot.oci.digest import ALGORITHMS
from entrepot.oci.name import RepositoryName
from entrepot.principal import Principal
from entrepot.storage.driver import UploadState

SEAL_BYTES = 16
_ADDRESS = re.compile(r"([0-9a-f-]{36})\.([01])([1-9a-f][0-9a-f]{0,15})\.([A-Za-z0-9_-]{22})", re.ASCII)

_FIND = Statement(
    select(uploads.c.offset, uploads.c.parts, uploads.c.content, uploads.c.cancelled).where(
        uploads.c.id == bindparam("upload_id")
    )
)
_INSERT = Statement(dialect.insert_or_ignore(uploads, "id"))
_OPEN_BY_OWNER = Statement(
    select(uploads.c.id)
    .where(uploads.c.owner == bindparam("owner"), uploads.c.cancelled.is_(False))
    .limit(bindparam("limit"))
)
_MOVE = Statement(
    update(uploads)
    .where(
        uploads.c.id == bindparam("upload_id"),
        uploads.c.offset == bindparam("old_offset"),
        uploads.c.parts == bindparam("old_parts"),
        uploads.c.cancelled.is_(False),
    )
    .values(
        offset=bindparam("new_offset"),
        parts=bindparam("new_parts"),
        content=bindparam("new_content"),
        expires_at_ms=bindparam("new_expires_at_ms"),
    )
)
_CANCEL = (
    update(uploads)
    .where(
        uploads.c.id == bindparam("upload_id"),
        uploads.c.offset == bindparam("old_offset"),
        uploads.c.parts == bindparam("old_parts"),
        uploads.c.cancelled.is_(False),
    )
    .values(cancelled=True)
)
_CLAIM = Statement(
    delete(uploads).where(
        uploads.c.id == bindparam("upload_id"),
        uploads.c.offset == bindparam("old_offset"),
        uploads.c.parts == bindparam("old_parts"),
        uploads.c.cancelled.is_(False),
    )
)
_EXPIRE = delete(uploads).where(uploads.c.id == bindparam("upload_id"), uploads.c.expires_at_ms < bindparam("now_ms"))
_EXPIRED = (
    select(uploads.c.id, uploads.c.offset, uploads.c.parts)
    .where(uploads.c.expires_at_ms < bindparam("now_ms"))
    .order_by(uploads.c.expires_at_ms)
    .limit(bindparam("limit"))
)
_KNOWN = select(uploads.c.id).where(uploads.c.id.in_(bindparam("ids", expanding=True)))


@dataclass(frozen=True, slots=True)
class UploadSession:
    """Who may upload what where. `owner` is a principal's key, `owner_id` the user's number; times are milliseconds."""

    id: str
    repository: RepositoryName
    owner: str
    owner_id: int | None
    algorithm: str
    expires_at_ms: int


def start(
    key: bytes, repository: RepositoryName, owner: Principal, algorithm: str, expires_at_ms: int
) -> tuple[UploadSession, str]:
    """A new session and its address: the last segment of its URL."""
    session = UploadSession(str(uuid.uuid4()), repository, owner.key, owner.user_id, algorithm, expires_at_ms)
    return session, f"{session.id}.{ALGORITHMS.index(algorithm)}{expires_at_ms:x}.{_seal(key, session)}"


def open_address(key: bytes, address: str, repository: RepositoryName, owner: Principal, now_ms: int) -> UploadSession:
    """The session of an address that this owner was given for this repository. Raises UploadUnknown."""
    # One spelling only: what int() would also take (spaces, signs, 0x, other digits) would come back in a header.
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise _unknown()
    upload_id, algorithm, expires_at_ms, seal = match.groups()
    session = UploadSession(
        upload_id, repository, owner.key, owner.user_id, ALGORITHMS[int(algorithm)], int(expires_at_ms, 16)
    )
    if not hmac.compare_digest(seal.encode(), _seal(key, session).encode()) or session.expires_at_ms < now_ms:
        raise _unknown()
    return session


def find(connection: Connection, upload_id: str) -> UploadState | None:
    """How far the upload is; None while nothing is recorded of it. Raises UploadUnknown when it was cancelled."""
    row = _FIND.one(connection, upload_id=upload_id)
    if row is None:
        return None
    offset, parts, content, cancelled = row
    if cancelled:
        raise _unknown()
    return _state(upload_id, offset, parts, content)


def move(
    connection: Connection,
    session: UploadSession,
    before: UploadState | None,
    after: UploadState,
    owner_max: int,
    expires_at_ms: int,
) -> None:
    """Record that the upload went on from one state to another; from None when nothing was recorded.

    Raises UploadChanged when another request moved it, TooManyUploads when the owner has `owner_max` others open.
    """
    if before is None:
        if len(_OPEN_BY_OWNER.all(connection, owner=session.owner, limit=owner_max)) >= owner_max:
            raise TooManyUploads(
                f"you have {owner_max} unfinished uploads, the limit: finish or cancel some, or let them expire"
            )
        moved = _insert(connection, session, after, expires_at_ms, cancelled=False)
    else:
        moved = _MOVE.run(
            connection,
            upload_id=session.id,
            old_offset=before.offset,
            old_parts=_text(before),
            new_offset=after.offset,
            new_parts=_text(after),
            new_content=after.content,
            new_expires_at_ms=expires_at_ms,
        )
    if not moved:
        raise UploadChanged("another request continued this upload: get its status and continue from there")


def cancel(connection: Connection, session: UploadSession) -> UploadState:
    """End the upload without a blob; answers what it left in the store, which belongs to who calls this now.

    Raises UploadUnknown when that was done before, UploadChanged when it goes on, or becomes a blob, at the same time.
    """
    state = find(connection, session.id)
    if state is None:
        state = UploadState(session.id)
        ended = _insert(connection, session, state, session.expires_at_ms, cancelled=True)
    else:
        values = {"upload_id": state.id, "old_offset": state.offset, "old_parts": _text(state)}
        ended = connection.execute(_CANCEL, values).rowcount
    if not ended:
        raise UploadChanged("another request continued this upload: get its status, then cancel it")
    return state


def claim(connection: Connection, state: UploadState) -> bool:
    """Take the upload's bytes, to make a blob of them or to remove them; of several that try, one gets them.

    False when it went on from this state, was finished or cancelled, or has expired.
    """
    return _CLAIM.run(connection, upload_id=state.id, old_offset=state.offset, old_parts=_text(state)) > 0


def expired(connection: Connection, now_ms: int, limit: int) -> list[UploadState]:
    return [_state(*row, b"") for row in connection.execute(_EXPIRED, {"now_ms": now_ms, "limit": limit})]


def expire(connection: Connection, upload_id: str, now_ms: int) -> bool:
    """Take what an expired upload left. False when it went on meanwhile, or somebody else did."""
    return connection.execute(_EXPIRE, {"upload_id": upload_id, "now_ms": now_ms}).rowcount > 0


def known(connection: Connection, ids: list[str]) -> set[str]:
    """Of these upload ids, those that have a row."""
    return set(connection.execute(_KNOWN, {"ids": ids}).scalars())


def _insert(
    connection: Connection, session: UploadSession, state: UploadState, expires_at_ms: int, *, cancelled: bool
) -> int:
    return _INSERT.run(
        connection,
        id=session.id,
        owner_id=session.owner_id,
        owner=session.owner,
        offset=state.offset,
        parts=_text(state),
        content=state.content,
        cancelled=cancelled,
        expires_at_ms=expires_at_ms,
    )


def _state(upload_id: str, offset: int, parts: str, content: bytes) -> UploadState:
    return UploadState(upload_id, offset, tuple(parts.split()), bytes(content))


def _text(state: UploadState) -> str:
    return " ".join(state.parts)


def _seal(key: bytes, session: UploadSession) -> str:
    owner = f"{session.owner}\n{session.owner_id}"
    terms = f"{session.id}\n{session.repository}\n{owner}\n{session.algorithm}\n{session.expires_at_ms}"
    mac = hmac.digest(key, terms.encode(), hashlib.sha256)[:SEAL_BYTES]
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def _unknown() -> UploadUnknown:
    return UploadUnknown("the upload does not exist, is finished or cancelled, or has expired: start it again")
