"""Forwards every record to a syslog receiver and to an HTTP collector: at least once, in order, whatever is killed.

Each target has a cursor in the database that moves once the target has taken a batch. Records carry their number and
hash: a target that gets one twice can tell, and one that misses some can as well. A target that is down keeps nobody
waiting but retention: records stay where they are.
"""

import asyncio
import logging
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, Row, or_, select, update

from entrepot.audit.export import record_line
from entrepot.audit.query import Found
from entrepot.audit.tables import audit_cursors, audit_records
from entrepot.clock import Clock
from entrepot.database.database import Database
from entrepot.database.dialect import execute, insert_or_ignore
from entrepot.errors import EntrepotError, Unavailable
from entrepot.outbound import syslog
from entrepot.outbound.client import Outbound
from entrepot.settings import AuditSettings

BATCH_RECORDS_MAX = 500
BATCHES_MAX = 100
"""Batches for one target in one run."""
CLAIM_MS = 6_000
"""How long after its last sign of life a process that sends keeps others from sending."""
CLAIM_RENEWAL_SECONDS = 2.0
DELIVER_SECONDS = 25.0
BACK_OFF_SECONDS_MIN = 1.0
BACK_OFF_SECONDS_MAX = 300.0
ERROR_CHARACTERS_MAX = 255
SYSLOG, HTTP = "syslog", "http"

_INSERT = insert_or_ignore(audit_cursors, "target")
log = logging.getLogger(__name__)

Deliver = Callable[[Sequence[Found]], Awaitable[None]]
Count = Callable[[str, int], None]
"""Counts records or failures of a target."""


class CollectorRefuses(Unavailable):
    """The collector answered, but did not take the records."""

    code = "collector_refuses"


@dataclass(slots=True)
class _Target:
    """Where to, and how patient to be after failures."""

    name: str
    deliver: Deliver
    failures: int = 0
    again_at: float = 0.0


class Forwarder:
    """Remembers how long to leave alone what failed. One of them for each process that forwards."""

    def __init__(
        self, settings: AuditSettings, outbound: Outbound, clock: Clock, on_sent: Count, on_failure: Count
    ) -> None:
        self._clock = clock
        self._on_sent = on_sent
        self._on_failure = on_failure
        self._id = secrets.token_hex(16)
        self._targets = list(_targets(settings, outbound))

    async def run(self, database: Database) -> None:
        """Send every target what it has not got. Failures are recorded, and tried again later; nothing is raised for
        them."""
        await asyncio.gather(*(self._forward(database, target) for target in self._targets))

    async def sent_until(self, database: Database) -> int | None:
        """The number of the last record that every target has got; None when there is no target to wait for."""
        if not self._targets:
            return None
        sent: dict[str, int] = {row.target: row.seq for row in await database.read(cursors)}
        return min(sent.get(target.name, 0) for target in self._targets)

    async def _forward(self, database: Database, target: _Target) -> None:
        if time.monotonic() < target.again_at:
            return
        for _ in range(BATCHES_MAX):
            if not await database.look_up(_is_behind, target.name):
                return
            claimed = await database.write(_claim, target.name, self._id, self._clock())
            if claimed is None:
                return
            batch = await database.read(_batch, claimed)
            if not batch or not await self._deliver(database, target, batch):
                return

    async def _deliver(self, database: Database, target: _Target, batch: list[Found]) -> bool:
        alive = asyncio.create_task(self._keep_claim(database, target.name))
        try:
            async with asyncio.timeout(DELIVER_SECONDS):
                await target.deliver(batch)
        except (EntrepotError, TimeoutError) as error:
            target.failures += 1
            wait = min(BACK_OFF_SECONDS_MAX, BACK_OFF_SECONDS_MIN * 2 ** (target.failures - 1))
            target.again_at = time.monotonic() + wait
            reason = error.message if isinstance(error, EntrepotError) else f"no response within {DELIVER_SECONDS:g} s"
            log.warning(
                "audit records could not be forwarded to %s, trying again in %g s: %s", target.name, wait, reason
            )
            self._on_failure(target.name, 1)
            await database.write(_failed, target.name, self._id, reason, self._clock(), durable=False)
            return False
        finally:
            alive.cancel()
        target.failures = 0
        await database.write(_move, target.name, self._id, batch[-1].seq, self._clock())
        self._on_sent(target.name, len(batch))
        return True

    async def _keep_claim(self, database: Database, target: str) -> None:
        while True:
            await asyncio.sleep(CLAIM_RENEWAL_SECONDS)
            await database.write(_claim, target, self._id, self._clock(), durable=False)


def cursors(connection: Connection) -> list[Row[Any]]:
    """How far each target has got: target, seq, error (empty: none), updated_at_ms."""
    columns = audit_cursors.c
    chosen = select(columns.target, columns.seq, columns.error, columns.updated_at_ms)
    return list(connection.execute(chosen.order_by(columns.target)))


def _targets(settings: AuditSettings, outbound: Outbound) -> list[_Target]:
    found = []
    if settings.syslog_url:
        url, ca_file, host = settings.syslog_url, settings.syslog_ca_file, socket.gethostname()

        async def by_syslog(batch: Sequence[Found]) -> None:
            await asyncio.to_thread(syslog.send, url, [syslog_message(found, host) for found in batch], ca_file)

        found.append(_Target(SYSLOG, by_syslog))
    if settings.http_url:
        headers = {"content-type": "application/x-ndjson"}
        if token := settings.http_token.get_secret_value():
            headers["authorization"] = f"Bearer {token}"

        async def by_http(batch: Sequence[Found]) -> None:
            content = b"".join(record_line(found.seq, found.hash, found.record) + b"\n" for found in batch)
            answer = await outbound.request(
                "POST", settings.http_url, ca_file=settings.http_ca_file, headers=headers, content=content
            )
            if not answer.is_success:
                raise CollectorRefuses(f"the collector responded with status {answer.status_code}")

        found.append(_Target(HTTP, by_http))
    return found


FACILITY_AUDIT = 13
SEVERITY_INFORMATION, SEVERITY_WARNING = 6, 4
MESSAGE_ID_CHARACTERS_MAX = 32
HOST_CHARACTERS_MAX = 255


def syslog_message(found: Found, host: str) -> bytes:
    """RFC 5424. The message is the line of an export: structured data would need a name registered for this program."""
    record = orjson.loads(found.record)
    done = record.get("outcome") == "done"
    priority = FACILITY_AUDIT * 8 + (SEVERITY_INFORMATION if done else SEVERITY_WARNING)
    message_id = _printable(record.get("action"), MESSAGE_ID_CHARACTERS_MAX)
    header = f"<{priority}>1 {_printable(record.get('time'), 32)} {_printable(host, HOST_CHARACTERS_MAX)} entrepot -"
    line = record_line(found.seq, found.hash, found.record)
    # The byte order mark says that what follows is UTF-8 (section 6.4).
    return f"{header} {message_id} - ".encode() + b"\xef\xbb\xbf" + line


def _printable(value: object, characters_max: int) -> str:
    """A field of the header: visible ASCII, `-` for nothing."""
    kept = "".join(c for c in str(value or "") if "!" <= c <= "~")
    return kept[:characters_max] or "-"


def _is_behind(connection: Connection, target: str) -> bool:
    sent = select(audit_cursors.c.seq).where(audit_cursors.c.target == target)
    newest = connection.execute(select(audit_records.c.seq).order_by(audit_records.c.seq.desc()).limit(1)).scalar()
    return newest is not None and newest > (connection.execute(sent).scalar() or 0)


def _claim(connection: Connection, target: str, process: str, now_ms: int) -> int | None:
    """The number of the last record that the target has got; None while another process sends."""
    values = {"target": target, "seq": 0, "error": "", "claimed_by": "", "claimed_until_ms": 0, "updated_at_ms": now_ms}
    execute(connection, _INSERT, values)
    free = or_(audit_cursors.c.claimed_by == process, audit_cursors.c.claimed_until_ms < now_ms)
    claimed = (
        update(audit_cursors)
        .where(audit_cursors.c.target == target, free)
        .values(claimed_by=process, claimed_until_ms=now_ms + CLAIM_MS)
        .returning(audit_cursors.c.seq)
    )
    seq: int | None = connection.execute(claimed).scalar()
    return seq


def _batch(connection: Connection, after: int) -> list[Found]:
    columns = (audit_records.c.seq, audit_records.c.hash, audit_records.c.record)
    chosen = select(*columns).where(audit_records.c.seq > after).order_by(audit_records.c.seq).limit(BATCH_RECORDS_MAX)
    return [Found(row.seq, row.hash, row.record) for row in connection.execute(chosen)]


def _move(connection: Connection, target: str, process: str, seq: int, now_ms: int) -> None:
    connection.execute(_own(target, process).values(seq=seq, error="", claimed_until_ms=0, updated_at_ms=now_ms))


def _failed(connection: Connection, target: str, process: str, reason: str, now_ms: int) -> None:
    values = {"error": reason[:ERROR_CHARACTERS_MAX], "claimed_until_ms": 0, "updated_at_ms": now_ms}
    connection.execute(_own(target, process).values(**values))


def _own(target: str, process: str) -> Any:
    return update(audit_cursors).where(audit_cursors.c.target == target, audit_cursors.c.claimed_by == process)
