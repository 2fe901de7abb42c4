"""Grants: a role for somebody, somewhere, perhaps only for a time or under a condition."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, RowMapping, bindparam, delete, insert, select

from entrepot.access.errors import GrantInvalid, GrantUnknown
from entrepot.access.places import Place
from entrepot.access.tables import grants
from entrepot.database import topics
from entrepot.database.changes import announce

USER, GROUP, SIGNED_IN, EVERYONE = "user", "group", "signed-in", "everyone"
FOR_ANYBODY_MAX = 100
"""Grants for everyone or all who are signed in, below one top namespace: they are looked at in everybody's requests."""
CONDITIONS_MAX = 20
"""Grants with a condition for one user, group, or anybody, below one top namespace."""
SUBJECT_KINDS = (USER, GROUP, SIGNED_IN, EVERYONE)


@dataclass(frozen=True, slots=True)
class Subject:
    """Who is granted something: `id` is a user's (also a robot's) or a group's, None for the other kinds."""

    kind: str
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """Times are milliseconds since the epoch; `condition` is CEL (see conditions.py)."""

    id: int
    role: str
    subject: Subject
    place: Place
    condition: str | None
    expires_at_ms: int | None
    created_by: str
    created_at_ms: int


_BY_TERMS = select(grants).where(grants.c.terms_hash == bindparam("terms_hash"))
_BY_ID = select(grants).where(grants.c.id == bindparam("grant_id"))


def add(
    connection: Connection,
    role: str,
    subject: Subject,
    place: Place,
    *,
    condition: str | None = None,
    expires_at_ms: int | None = None,
    created_by: str,
    now_ms: int,
) -> tuple[Grant, bool]:
    """Make the grant; answers it, and whether it is new. Of the same terms there is one. Raises GrantInvalid.

    The condition has been checked: nothing is evaluated in a transaction.
    """
    if subject.kind not in SUBJECT_KINDS or (subject.kind in {USER, GROUP}) != (subject.id is not None):
        raise GrantInvalid(f"the subject of a grant must be one of {', '.join(SUBJECT_KINDS)}")
    terms = [role, subject.kind, subject.id, place.kind, place.path, condition, expires_at_ms]
    terms_hash = hashlib.sha256(json.dumps(terms).encode()).hexdigest()
    known = connection.execute(_BY_TERMS, {"terms_hash": terms_hash}).mappings().one_or_none()
    if known is not None:
        return _grant(known), False
    _require_room(connection, subject, place, conditional=condition is not None)
    values = {
        "role": role,
        "subject_kind": subject.kind,
        "user_id": subject.id if subject.kind == USER else None,
        "group_id": subject.id if subject.kind == GROUP else None,
        "place_kind": place.kind,
        "place_path": place.path,
        "condition": condition,
        "expires_at_ms": expires_at_ms,
        "terms_hash": terms_hash,
        "created_by": created_by,
        "created_at_ms": now_ms,
    }
    grant_id = connection.execute(insert(grants).returning(grants.c.id), values).scalar_one()
    announce(connection, topics.ACCESS)
    return Grant(grant_id, role, subject, place, condition, expires_at_ms, created_by, now_ms), True


def _require_room(connection: Connection, subject: Subject, place: Place, *, conditional: bool) -> None:
    """Whoever owns a namespace decides about it, and does not fill everybody's requests with grants.

    Grants for the registry, or for patterns across it, are made by those who answer for all of it. Raises GrantInvalid.
    """
    namespace = (place.anchor or "").partition("/")[0]
    if not namespace:
        return
    within = (grants.c.place_path == namespace) | (
        (grants.c.place_path > f"{namespace}/") & (grants.c.place_path < f"{namespace}0")
    )
    anybody = subject.kind in {EVERYONE, SIGNED_IN}
    who: ColumnElement[bool]
    if anybody:
        who = grants.c.subject_kind.in_((EVERYONE, SIGNED_IN))
    else:
        who = (grants.c.group_id if subject.kind == GROUP else grants.c.user_id) == subject.id
    there = select(grants.c.id).where(within, who)
    if anybody and len(connection.execute(there.limit(FOR_ANYBODY_MAX)).all()) >= FOR_ANYBODY_MAX:
        raise GrantInvalid(
            f"the namespace {namespace} has {FOR_ANYBODY_MAX} grants for everyone or for all who are signed in, which "
            "is the limit: grant for a larger place, or to a group"
        )
    if conditional:
        conditional_ones = there.where(grants.c.condition.is_not(None)).limit(CONDITIONS_MAX)
        if len(connection.execute(conditional_ones).all()) >= CONDITIONS_MAX:
            raise GrantInvalid(
                f"the namespace {namespace} has {CONDITIONS_MAX} grants with conditions for one subject, which is the "
                "limit: grant for a larger place, or join conditions with ||"
            )


def require(connection: Connection, grant_id: int) -> Grant:
    """Raises GrantUnknown."""
    row = connection.execute(_BY_ID, {"grant_id": grant_id}).mappings().one_or_none()
    if row is None:
        raise GrantUnknown(f"there is no grant {grant_id}")
    return _grant(row)


def of_role(connection: Connection, role: str) -> list[Grant]:
    """Every grant of the role."""
    return _all(connection.execute(select(grants).where(grants.c.role == role).order_by(grants.c.id)).mappings())


def remove(connection: Connection, grant_id: int) -> None:
    """Raises GrantUnknown."""
    if connection.execute(delete(grants).where(grants.c.id == grant_id)).rowcount == 0:
        raise GrantUnknown(f"there is no grant {grant_id}")
    announce(connection, topics.ACCESS)


def page(
    connection: Connection,
    *,
    after: int,
    limit: int,
    place: Place | None = None,
    below: str | None = None,
    subject: Subject | None = None,
) -> list[Grant]:
    """Grants in the order they were made, after one; at a place, at or below a path, or for somebody."""
    statement = select(grants).where(grants.c.id > after).order_by(grants.c.id).limit(limit)
    if place is not None:
        statement = statement.where(grants.c.place_kind == place.kind, grants.c.place_path == place.path)
    if below:
        statement = statement.where(
            (grants.c.place_path == below) | ((grants.c.place_path > f"{below}/") & (grants.c.place_path < f"{below}0"))
        )
    if subject is not None:
        column = grants.c.group_id if subject.kind == GROUP else grants.c.user_id
        statement = statement.where(grants.c.subject_kind == subject.kind)
        if subject.id is not None:
            statement = statement.where(column == subject.id)
    return _all(connection.execute(statement).mappings())


def _all(rows: Iterable[RowMapping]) -> list[Grant]:
    return [_grant(row) for row in rows]


def _grant(row: RowMapping) -> Grant:
    subject = Subject(row["subject_kind"], row["user_id"] if row["user_id"] is not None else row["group_id"])
    place = Place(row["place_kind"], row["place_path"])
    return Grant(
        row["id"],
        row["role"],
        subject,
        place,
        row["condition"],
        row["expires_at_ms"],
        row["created_by"],
        row["created_at_ms"],
    )
