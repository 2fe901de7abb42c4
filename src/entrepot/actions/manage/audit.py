"""Reading the audit log: what is pending is sealed first, and whoever exports it leaves a record of that."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.metadata import version

from sqlalchemy import Connection, func, select

from entrepot.actions import acts
from entrepot.app import App
from entrepot.audit import chain, export, forward, heads, query
from entrepot.audit.actions import Action
from entrepot.audit.export import described
from entrepot.audit.query import Filter, RecordPage
from entrepot.audit.record import Act
from entrepot.audit.tables import audit_pending, audit_segments
from entrepot.principal import Caller

JSONL, CEF = "jsonl", "cef"

PENDING_TOLD_MAX = 10_000
"""Records that wait for the chain: of more, as when nothing maintains the registry, this number is told."""


@dataclass(frozen=True, slots=True)
class Forwarded:
    """How far a target has got; `error` is empty when the last batch arrived. Times are milliseconds."""

    target: str
    seq: int
    error: str
    updated_at_ms: int


@dataclass(frozen=True, slots=True)
class LogStatus:
    """Where the chain ends, up to where it is signed and archived, and how far it is forwarded."""

    seq: int
    hash: str
    pending: int
    signed_seq: int
    signed_at_ms: int | None
    archived_seq: int
    oldest_seq: int
    forwarded: tuple[Forwarded, ...]


async def find(app: App, caller: Caller, wanted: Filter, where: str, after: int | None, limit: int) -> RecordPage:
    """The newest records before `after` that are as wanted, with all that has happened up to now.

    Who reads leaves a record, too, soon after.
    """
    acts.gather(app, caller, Act(Action.AUDIT_READ, where, detail={"filter": described(wanted)}))
    await chain.seal_all(app.database)
    return await app.database.read(query.find, wanted, after, limit)


async def export_lines(app: App, caller: Caller, wanted: Filter, format_: str, where: str) -> AsyncIterator[bytes]:
    """Lines of an export, some at a time. The record of it is kept before this returns, and is in the export."""
    detail = {"format": format_, "filter": described(wanted)}
    await acts.keep(app, caller, Act(Action.AUDIT_EXPORT, where, detail=detail))
    if format_ == CEF:
        return _cef(app, wanted)
    return export.lines(app.database, app.witness, wanted, app.clock)


async def status(app: App) -> LogStatus:
    return await app.database.read(_status)


async def _cef(app: App, wanted: Filter) -> AsyncIterator[bytes]:
    program = version("entrepot")
    async for found in export.records(app.database, wanted):
        yield "".join(f"{export.cef_line(one, program)}\n" for one in found).encode()


def _status(connection: Connection) -> LogStatus:
    seq, hash_ = chain.end(connection)
    signed = heads.last(connection)
    return LogStatus(
        seq,
        hash_,
        len(connection.execute(select(audit_pending.c.id).limit(PENDING_TOLD_MAX)).all()),
        signed.seq if signed is not None else 0,
        signed.signed_at_ms if signed is not None else None,
        connection.execute(select(func.max(audit_segments.c.last_seq))).scalar() or 0,
        query.oldest(connection) or 0,
        tuple(Forwarded(row.target, row.seq, row.error, row.updated_at_ms) for row in forward.cursors(connection)),
    )
