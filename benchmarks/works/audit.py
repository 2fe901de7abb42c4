"""Pages of the audit log when it is long."""

import random
import time
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles

from sqlalchemy import Connection, create_engine, func, select

from benchmarks.content import GIB
from benchmarks.load import Sample
from benchmarks.prefill import DATABASE_FILE, prefill_audit
from benchmarks.works.capacity import Capacity
from benchmarks.works.work import Measure, Scale
from entrepot.audit import query
from entrepot.audit.query import Filter
from entrepot.audit.tables import audit_records

PAGE_RECORDS = 100
PERCENTILE = 95
HOUR_MS = 3_600_000

QUESTIONS: dict[str, Callable[[int, int], Filter]] = {
    "actor": lambda first_ms, last_ms: Filter(actor=f"ldap:user{random.randrange(2_000)}"),
    "namespace": lambda first_ms, last_ms: Filter(below=f"team{random.randrange(50)}"),
    "digest": lambda first_ms, last_ms: Filter(digest="sha256:" + "0" * 64),
    "refused": lambda first_ms, last_ms: Filter(outcome="refused"),
    "hour": lambda first_ms, last_ms: _hour(random.randrange(first_ms, max(first_ms + 1, last_ms - HOUR_MS))),
    "several": lambda first_ms, last_ms: Filter(
        actor=f"ldap:user{random.randrange(20)}", action="manifest:push", below=f"team{random.randrange(50)}"
    ),
}


class AuditPages(Capacity):
    name = "audit-page"
    how = (
        "The audit log is filled with 10,000,000 records (--quick: 1,000,000) while the server is down; then pages of "
        "100 are asked for as the API does, each from a random place: of a user, below a namespace, of a digest that "
        "is not there, of what was refused, of one hour, and of a user, an action and a namespace at once. The figure "
        "is the time that 95 of 100 pages take at most, the database's file in the page cache as far as it fits."
    )
    measures = tuple(
        Measure(f"audit-{name}", f"audit page, {name}", "ms", 2, less_is_better=True, target_value=50.0)
        for name in QUESTIONS
    )

    @classmethod
    def rounds(cls, scale: Scale) -> int:
        return scale.capacity_rounds

    def prepare(self) -> None:
        self.server.stop()
        data = self.server.directory / "data"
        prefill_audit(data, self.scale.audit_records)
        self.notes.append(f"with {self.scale.audit_records:,} records, {_gibibytes(data / DATABASE_FILE):.1f} GiB")

    def round(self, number: int) -> dict[str, Sample]:
        engine = create_engine(f"sqlite:///{self.server.directory / 'data' / DATABASE_FILE}")
        with engine.connect() as connection:
            first_ms, last_ms = _times(connection)
            samples = {
                f"audit-{name}": Sample(self._slow_page_ms(connection, lambda ask=ask: ask(first_ms, last_ms)))
                for name, ask in QUESTIONS.items()
            }
        engine.dispose()
        return samples

    def _slow_page_ms(self, connection: Connection, ask: Callable[[], Filter]) -> float:
        times = []
        for _ in range(self.scale.audit_pages):
            wanted = ask()
            after = random.randrange(1, self.scale.audit_records)
            start = time.perf_counter()
            query.find(connection, wanted, after, PAGE_RECORDS)
            times.append(time.perf_counter() - start)
        return quantiles(times, n=100)[PERCENTILE - 1] * 1e3


def _hour(from_ms: int) -> Filter:
    return Filter(from_ms=from_ms, to_ms=from_ms + HOUR_MS)


def _times(connection: Connection) -> tuple[int, int]:
    """When the first and the last record were."""
    columns = (func.min(audit_records.c.at_ms), func.max(audit_records.c.at_ms))
    first_ms, last_ms = connection.execute(select(*columns)).one()
    return first_ms, last_ms


def _gibibytes(path: Path) -> float:
    return path.stat().st_size / GIB
