"""Finds records: newest first, in pages by number, at a cost that does not grow with the log.

A page looks at SCANNED_MAX records at most, found by the index of the condition that usually holds for the fewest. When
more conditions leave few of them, the page has fewer records than asked for, or none, and still says where to go on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Row, Select, and_, func, or_, select, text, true

from entrepot.audit.tables import audit_records

SCANNED_MAX = 2000
"""Records that one page looks at."""
NUMBERS_AT_ONCE = 200
CLOCKS_APART_MS = 5 * 60 * 1000
"""How far the clocks of replicas may be apart. Records are in the order in which they were sealed, not quite in that of
their times: a range of time is looked for with so much on either side."""
RESOURCE_KIND = "repository:"
DONE = "done"

Columns = Any
"""Those of the table, or of a query that has them all."""

_records = audit_records.c
_NOT_DONE = text("outcome <> 'done'")


@dataclass(frozen=True, slots=True)
class Filter:
    """What a record must be; empty holds for all. `below` is a namespace: its repositories, and one of its own name.

    `from_ms` is the first moment of the range, `to_ms` the first after it."""

    actor: str = ""
    action: str = ""
    resource: str = ""
    below: str = ""
    digest: str = ""
    address: str = ""
    outcome: str = ""
    from_ms: int | None = None
    to_ms: int | None = None

    def conditions(self, of: Columns = audit_records.c) -> ColumnElement[bool]:
        """All of them, as SQL."""
        all_of_them = [of[name] == value for name, value in self._equal() if value]
        if self.below:
            all_of_them.append(or_(of.resource == RESOURCE_KIND + self.below, _is_below(self.below, of)))
        if self.from_ms is not None:
            all_of_them.append(of.at_ms >= self.from_ms)
        if self.to_ms is not None:
            all_of_them.append(of.at_ms < self.to_ms)
        return and_(true(), *all_of_them)

    def is_one_condition(self) -> bool:
        """Whether nothing is left to look at once an index has found the records."""
        given = sum(1 for _, value in self._equal() if value)
        return given <= 1 and self.outcome != DONE and not self.below and self.from_ms is None and self.to_ms is None

    def _equal(self) -> tuple[tuple[str, str], ...]:
        return (
            ("actor", self.actor),
            ("action", self.action),
            ("resource", self.resource),
            ("digest", self.digest),
            ("address", self.address),
            ("outcome", self.outcome),
        )

    def has_content(self) -> bool:
        """Whether it asks for more than a range of time."""
        return any((self.actor, self.action, self.resource, self.below, self.digest, self.address, self.outcome))


@dataclass(frozen=True, slots=True)
class Found:
    """A record of the chain; `record` is its JSON."""

    seq: int
    hash: str
    record: str


@dataclass(frozen=True, slots=True)
class RecordPage:
    """`after` is what to give for the next page, None when this is the last one."""

    records: list[Found]
    after: int | None


def find(connection: Connection, wanted: Filter, after: int | None, limit: int) -> RecordPage:
    """The newest records with a number below `after` that are as wanted."""
    first, last = bounds(connection, wanted)
    if after is not None:
        last = min(last, after - 1)
    if wanted.below and not (wanted.digest or wanted.resource or wanted.address or wanted.actor):
        few = _few_below(connection, wanted.below, first, last)
        if few is not None:
            return _page_of(connection, wanted, few, limit)
    return _scan(connection, wanted, first, last, limit)


def bounds(connection: Connection, wanted: Filter) -> tuple[int, int]:
    """The first and the last number between which all records of the filter's range of time are."""
    first = _edge(connection, wanted.from_ms - CLOCKS_APART_MS) if wanted.from_ms is not None else oldest(connection)
    last = _edge(connection, wanted.to_ms + CLOCKS_APART_MS) if wanted.to_ms is not None else None
    if first is None:
        return 1, 0
    if last is None:
        newest = connection.execute(select(func.max(_records.seq))).scalar()
        return first, newest or 0
    return first, last - 1


def oldest(connection: Connection) -> int | None:
    """The first number that is in the database, None when there is none."""
    number: int | None = connection.execute(select(func.min(_records.seq))).scalar()
    return number


def _edge(connection: Connection, at_ms: int) -> int | None:
    """The number of the first record that is not before that time."""
    ordered = select(_records.seq).where(_records.at_ms >= at_ms).order_by(_records.at_ms, _records.seq).limit(1)
    number: int | None = connection.execute(ordered).scalar()
    return number


def _scan(connection: Connection, wanted: Filter, first: int, last: int, limit: int) -> RecordPage:
    driving = _driving(wanted)
    rows = connection.execute(statement(wanted, first, last, limit)).all()
    found = [Found(row.seq, row.hash, row.record) for row in rows]
    if len(found) == limit:
        return RecordPage(found, found[-1].seq)
    if wanted.is_one_condition():
        return RecordPage(found, None)
    looked_at = _in(driving, first, last, _records.seq).order_by(_records.seq.desc()).limit(SCANNED_MAX).subquery()
    end = connection.execute(select(func.min(looked_at.c.seq))).scalar()
    if end is None:
        return RecordPage(found, None)
    more = connection.execute(_in(driving, first, end - 1, _records.seq).limit(1)).scalar()
    return RecordPage(found, end if more is not None else None)


def statement(wanted: Filter, first: int, last: int, limit: int) -> Select[Any]:
    """The newest records of this range that are as wanted, among those that one page looks at."""
    driven = _in(_driving(wanted), first, last).order_by(_records.seq.desc())
    if wanted.is_one_condition():
        return driven.limit(limit)
    seen = driven.limit(SCANNED_MAX).subquery("seen")
    chosen = select(seen.c.seq, seen.c.hash, seen.c.record).where(wanted.conditions(seen.c))
    return chosen.order_by(seen.c.seq.desc()).limit(limit)


def _in(driving: ColumnElement[bool] | None, first: int, last: int, *columns: Column[Any]) -> Select[Any]:
    chosen = select(*(columns or (audit_records,))).where(_records.seq.between(first, last))
    return chosen.where(driving) if driving is not None else chosen


def _driving(wanted: Filter) -> ColumnElement[bool] | None:
    """The condition that usually holds for the fewest records, of those that have an index in the order of numbers."""
    for column, value in (
        (_records.digest, wanted.digest),
        (_records.resource, wanted.resource),
        (_records.address, wanted.address),
        (_records.actor, wanted.actor),
    ):
        if value:
            return column == value
    if wanted.outcome and wanted.outcome != DONE:
        # The second says that the index of what was not done, which has no others, is the right one.
        return and_(_records.outcome == wanted.outcome, _NOT_DONE)
    return _records.action == wanted.action if wanted.action else None


def _is_below(namespace: str, of: Columns = audit_records.c) -> ColumnElement[bool]:
    """`/` is followed by `0` in ASCII: the range of all that begins with the namespace and a slash."""
    prefix = RESOURCE_KIND + namespace
    return and_(of.resource >= f"{prefix}/", of.resource < f"{prefix}0")


def _few_below(connection: Connection, namespace: str, first: int, last: int) -> Sequence[int] | None:
    """The numbers of the namespace's records, newest first, if they are few; None otherwise.

    Few are found by the index of names. Many are met often enough by going through all records.
    """
    exact = _records.resource == RESOURCE_KIND + namespace
    numbers: list[int] = []
    for condition in (exact, _is_below(namespace)):
        # Not by the index of numbers: a sum has none.
        chosen = select(_records.seq).where(condition, (_records.seq + 0).between(first, last)).limit(SCANNED_MAX + 1)
        numbers += connection.execute(chosen).scalars()
        if len(numbers) > SCANNED_MAX:
            return None
    return sorted(numbers, reverse=True)


def _page_of(connection: Connection, wanted: Filter, numbers: Sequence[int], limit: int) -> RecordPage:
    """The first of these that are as wanted."""
    found: list[Row[Any]] = []
    for start in range(0, len(numbers), NUMBERS_AT_ONCE):
        some = numbers[start : start + NUMBERS_AT_ONCE]
        chosen = (
            select(_records.seq, _records.hash, _records.record)
            .where(_records.seq.in_(some), wanted.conditions())
            .order_by(_records.seq.desc())
        )
        found += connection.execute(chosen)
        if len(found) >= limit:
            break
    page = [Found(row.seq, row.hash, row.record) for row in found[:limit]]
    return RecordPage(page, page[-1].seq if len(page) == limit else None)
