"""Whether this worker can serve, for balancers and people, told from outside as often as anybody asks.

A worker without its database serves nothing. One whose store is gone, full or read-only still serves manifests, tags
and small blobs, as all its replicas do that share the store: it is degraded, as it is without maintenance, and taking
all of them out of a balancer would help nobody. One that was told to stop serves, and wants no new work.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, text

from entrepot.database.database import Database
from entrepot.errors import EntrepotError
from entrepot.storage.store import BlobStore

CHECK_SECONDS = 5.0
"""How long one part may take to answer."""
KEPT_SECONDS = 2.0
"""How long what was found is told again: who asks often, or as a stranger, does not make work."""

DATABASE, READING, WRITING, MAINTENANCE = "database", "storage reading", "storage writing", "maintenance"


class Status(StrEnum):
    READY = "ready"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class ReadinessReport:
    """`failed` has the parts that do not work, and why: the log's to know, and not a stranger's."""

    status: Status
    checks: Mapping[str, bool]
    failed: Mapping[str, str]

    @property
    def serves(self) -> bool:
        return self.status in {Status.READY, Status.DEGRADED}


class Readiness:
    """Looks at all parts at once, one look at a time, and remembers for a moment what it found."""

    def __init__(
        self, database: Database, store: BlobStore, is_stopping: Callable[[], bool], is_maintained: Callable[[], bool]
    ) -> None:
        self._looks: Mapping[str, Callable[[], Awaitable[None]]] = {
            DATABASE: lambda: database.read(_ping),
            READING: store.check_reading,
            WRITING: store.check_writing,
        }
        self._is_stopping = is_stopping
        self._is_maintained = is_maintained
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._found: Mapping[str, str] = {}
        self._found_at = float("-inf")
        self._lock = asyncio.Lock()

    async def report(self) -> ReadinessReport:
        """After CHECK_SECONDS at the latest."""
        async with self._lock:
            if time.monotonic() - self._found_at > KEPT_SECONDS:
                reasons = await asyncio.gather(*(self._look(part) for part in self._looks))
                self._found = {part: why for part, why in zip(self._looks, reasons, strict=True) if why}
                self._found_at = time.monotonic()
        failed = dict(self._found)
        if not self._is_maintained():
            failed[MAINTENANCE] = "the maintenance process ends every time it is started"
        checks = {part: part not in failed for part in (*self._looks, MAINTENANCE)}
        if self._is_stopping():
            return ReadinessReport(Status.STOPPING, checks, failed)
        if DATABASE in failed:
            return ReadinessReport(Status.UNAVAILABLE, checks, failed)
        return ReadinessReport(Status.DEGRADED if failed else Status.READY, checks, failed)

    def close(self) -> None:
        for task in self._looking.values():
            task.cancel()

    async def _look(self, part: str) -> str:
        """Why it does not work; empty when it does.

        One that has not answered is not asked again before it has: a store that hangs holds one thread, not all.
        """
        task = self._looking.get(part)
        if task is None:
            task = self._looking[part] = asyncio.ensure_future(_run(self._looks[part]))
        done, _ = await asyncio.wait({task}, timeout=CHECK_SECONDS)
        if not done:
            return f"no answer within {CHECK_SECONDS:g} s"
        del self._looking[part]
        error = task.exception()
        if error is None:
            return ""
        if not isinstance(error, EntrepotError):
            raise error
        return error.message if error.__cause__ is None else f"{error.message}: {error.__cause__}"


async def _run(look: Callable[[], Awaitable[None]]) -> None:
    await look()


def _ping(connection: Connection) -> None:
    connection.execute(text("SELECT 1")).scalar_one()
