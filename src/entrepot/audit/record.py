"""What an act is, and how it is written: as one record, in the transaction of what it records."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NewType, TypeVar

import orjson
from sqlalchemy import Connection, insert

from entrepot.audit.actions import Action
from entrepot.audit.tables import audit_pending
from entrepot.database.statements import Statement
from entrepot.principal import Caller

Missing = NewType("Missing", str)
"""A permission that was missing, where nothing else is known of what was to be done."""
DONE, REFUSED, FAILED = "done", "refused", "failed"
"""`refused` by a rule, `failed` for want of a proof or a resource."""
TEXT_CHARACTERS_MAX = 512
"""The longest that a client's own text can make one field of a record."""

T = TypeVar("T")
_INSERT = Statement(insert(audit_pending))


@dataclass(frozen=True, slots=True)
class Act:
    """`resource` is `kind:name` (`repository:team/app`, `user:local:alice`).

    `reason` says why it was refused or failed; `detail` what else is to be known, never a secret.
    """

    action: Action | Missing
    resource: str
    digest: str | None = None
    outcome: str = DONE
    reason: str | None = None
    detail: Mapping[str, object] | None = None


def compose(at_ms: int, caller: Caller, act: Act, *, owner: str | None = None, count: int = 1) -> bytes:
    """The record as it is kept: JSON, its keys sorted. `owner` answers for a robot; `count` acts were the same."""
    principal, origin = caller.principal, caller.origin
    record: dict[str, object] = {
        "time": datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "actor": principal.key,
        "credential": {"kind": principal.credential.kind, "id": principal.credential.id},
        "address": origin.address,
        "user_agent": _short(origin.user_agent),
        "request_id": origin.request_id,
        "action": act.action,
        "resource": _short(act.resource),
        "outcome": act.outcome,
    }
    if origin.client_request_id:
        record["client_request_id"] = origin.client_request_id
    if principal.user_id is not None:
        record["actor_id"] = principal.user_id
    if owner:
        record["owner"] = owner
    if act.digest:
        record["digest"] = act.digest
    if act.reason:
        record["reason"] = _short(act.reason)
    if act.detail:
        record["detail"] = act.detail
    if count > 1:
        record["count"] = count
    return orjson.dumps(record, option=orjson.OPT_SORT_KEYS)


def write(connection: Connection, record: bytes) -> None:
    """Keep a record; when the transaction is committed, it is."""
    _INSERT.run(connection, record=record.decode())


def with_record(run: Callable[[Connection], T], composed: bytes) -> Callable[[Connection], T]:
    """What is done in a transaction, and the record of it: neither is there without the other."""

    def both(connection: Connection) -> T:
        result = run(connection)
        write(connection, composed)
        return result

    return both


def write_all(connection: Connection, records: list[bytes]) -> None:
    for one in records:
        write(connection, one)


def _short(text: str) -> str:
    """Without what a client could make of it that no reader expects."""
    text = text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")
    return text if len(text) <= TEXT_CHARACTERS_MAX else text[: TEXT_CHARACTERS_MAX - 1] + "…"
