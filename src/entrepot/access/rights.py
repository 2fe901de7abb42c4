"""The rights of one user, or of anybody: every grant that can ever apply, read once and asked often.

`allows` decides, `visible` says the same as a filter for lists, `explain` says why: they read the same grants.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

import orjson
from sqlalchemy import Connection, String, bindparam, select

from entrepot.access import conditions, roles
from entrepot.access.conditions import Context
from entrepot.access.grants import EVERYONE, SIGNED_IN
from entrepot.access.permissions import FOR_EVERYONE, PLACED, Permission
from entrepot.access.places import NAMESPACE, PATTERN, REGISTRY, REPOSITORY, Place
from entrepot.access.roles import Role
from entrepot.access.tables import grants
from entrepot.database import dialect
from entrepot.database.statements import Row, Statement

_COLUMNS = (
    grants.c.id,
    grants.c.role,
    grants.c.subject_kind,
    grants.c.group_id,
    grants.c.place_kind,
    grants.c.place_path,
    grants.c.condition,
    grants.c.expires_at_ms,
)
_OF_USER = Statement(select(*_COLUMNS).where(grants.c.user_id == bindparam("user_id")))
_OF_ANYBODY = Statement(select(*_COLUMNS).where(grants.c.subject_kind == bindparam("subject_kind")))


@dataclass(frozen=True, slots=True)
class Right:
    """A grant as it concerns one user. `through` is the kind of its subject, `group` the group's name."""

    grant_id: int
    role: Role
    place: Place
    condition: str | None
    expires_at_ms: int | None
    through: str
    group: str = ""

    def in_force(self, context: Context) -> bool:
        return (self.expires_at_ms is None or self.expires_at_ms > context.now_ms) and (
            self.condition is None or conditions.holds(self.condition, context)
        )


@dataclass(frozen=True, slots=True)
class Visible:
    """Which repositories: all, those below some namespaces, some by name, some by pattern."""

    everything: bool
    namespaces: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Considered:
    """A grant that was looked at, and why it applies or does not (`missing` is empty when it does).

    `lapsed` and `unmet` are those that nothing but their end or their condition keeps from it.
    """

    right: Right
    missing: str
    lapsed: bool = False
    unmet: bool = False


class ByPlace(Mapping[tuple[str, str], tuple[Right, ...]]):
    """Rights by kind and path of their place; those for patterns by what all that they cover is in (`Place.anchor`).

    Somebody may have thousands, of which few are ever asked for: a right is made of its row when its place is.
    """

    def __init__(self, rows: dict[tuple[str, str], list[Row]], right: Callable[[Row], Right]) -> None:
        self._rows = rows
        self._right = right
        self._made: dict[tuple[str, str], tuple[Right, ...]] = {}

    def at(self, key: tuple[str, str]) -> tuple[Right, ...]:
        """None or more."""
        made = self._made.get(key)
        if made is not None:
            return made
        rows = self._rows.get(key)
        if rows is None:
            return ()
        made = self._made[key] = tuple(map(self._right, rows))
        return made

    def count(self) -> int:
        return sum(map(len, self._rows.values()))

    def __getitem__(self, key: tuple[str, str]) -> tuple[Right, ...]:
        if key not in self._rows:
            raise KeyError(key)
        return self.at(key)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


@dataclass(frozen=True, slots=True)
class Rights:
    """However many grants there are, a decision looks at those above the path it is about."""

    by_place: ByPlace

    @property
    def count(self) -> int:
        """How many grants these are."""
        return self.by_place.count()

    @classmethod
    def of(cls, rights: list[Right]) -> "Rights":
        by_place: dict[tuple[str, str], list[Row]] = {}
        for right in rights:
            by_place.setdefault(_key(right.place.kind, right.place.path), []).append((right,))
        return cls(ByPlace(by_place, lambda row: row[0]))

    def allows(self, permission: Permission, path: str | None, context: Context) -> bool:
        """Whether some grant has the permission for what is at the path, a namespace or a repository.

        None is the registry itself, and only grants for the whole registry reach that.
        """
        return any(True for _ in self.allowing(permission, path, context))

    def allowing(self, permission: Permission, path: str | None, context: Context) -> Iterator[Right]:
        """The grants by which `allows` says so."""
        for right in self._at(permission, path):
            if permission in right.role.permissions and right.in_force(context):
                yield right

    def __iter__(self) -> Iterator[Right]:
        return self._all()

    def throughout(self, permission: Permission, place: Place, context: Context) -> list[Right]:
        """The grants that have the permission in all of a place: what `allows` says of its path is not enough for that.

        (Whoever owns a repository does not own the namespace of the same name.)
        """
        if permission not in PLACED:
            place = Place(REGISTRY, "")
        return [
            right
            for right in self._including(place)
            if permission in right.role.permissions and right.in_force(context)
        ]

    def visible(self, permission: Permission, context: Context) -> Visible:
        """Where `allows` says yes, as a filter."""
        found = [
            right.place for right in self._all() if permission in right.role.permissions and right.in_force(context)
        ]
        if any(place.kind == REGISTRY for place in found):
            return Visible(everything=True)
        namespaces = sorted({place.path for place in found if place.kind == NAMESPACE})
        kept: list[str] = []
        for path in namespaces:
            if not any(path.startswith(f"{above}/") for above in kept):
                kept.append(path)
        return Visible(
            everything=False,
            namespaces=tuple(kept),
            repositories=tuple(sorted({place.path for place in found if place.kind == REPOSITORY})),
            patterns=tuple(sorted({place.path for place in found if place.kind == PATTERN})),
        )

    def explain(self, permission: Permission, path: str | None, context: Context) -> list[Considered]:
        """Every grant of the user's, and what keeps it from allowing this."""
        considered = []
        for right in self._all():
            lapsed = unmet = False
            if not right.place.covers(path if permission in PLACED else None):
                missing = f"it applies only to {right.place}"
            elif permission not in right.role.permissions:
                missing = f"the role {right.role.name} does not have {permission.value}"
            elif right.expires_at_ms is not None and right.expires_at_ms <= context.now_ms:
                missing, lapsed = "it has expired", True
            elif right.condition is not None and not conditions.holds(right.condition, context):
                missing, unmet = f"its condition is not met: {right.condition}", True
            else:
                missing = ""
            considered.append(Considered(right, missing, lapsed, unmet))
        return considered

    def roles_at(self, path: str | None, context: Context) -> list[str]:
        """The names of the roles that the user has there, now."""
        return sorted(
            {right.role.name for right in self._all() if right.place.covers(path) and right.in_force(context)}
        )

    def _at(self, permission: Permission, path: str | None) -> Iterator[Right]:
        yield from self.by_place.at((REGISTRY, ""))
        if path is None or permission not in PLACED:
            return
        yield from self.by_place.at((REPOSITORY, path))
        for above in _and_above(path):
            yield from self.by_place.at((NAMESPACE, above))
        for right in self._patterns_above(path):
            if right.place.covers(path):
                yield right

    def _including(self, place: Place) -> Iterator[Right]:
        """Those whose place has all of another one in it."""
        yield from self.by_place.at((REGISTRY, ""))
        above = place.anchor or ""
        for namespace in _and_above(above):
            yield from self.by_place.at((NAMESPACE, namespace))
        if place.kind == REPOSITORY:
            yield from self.by_place.at((REPOSITORY, place.path))
        for right in self._patterns_above(above):
            if right.place.includes(place):
                yield right

    def _patterns_above(self, path: str) -> Iterator[Right]:
        for anchor in (*_and_above(path), ""):
            yield from self.by_place.at((PATTERN, anchor))

    def _all(self) -> Iterator[Right]:
        for rights in self.by_place.values():
            yield from rights


NO_RIGHTS = Rights.of([])


def load(connection: Connection, user_id: int | None, groups: Mapping[int, str]) -> Rights:
    """The rights of a user with these groups (id to name), or of anybody when there is no user."""
    known = roles.everything(connection)
    # The user's own come first: of conditions, not all are evaluated when there are very many.
    rows: list[Row] = []
    if user_id is not None:
        rows += _OF_USER.all(connection, user_id=user_id)
        rows += _of_groups(connection, list(groups))
        rows += _OF_ANYBODY.all(connection, subject_kind=SIGNED_IN)
    rows += _OF_ANYBODY.all(connection, subject_kind=EVERYONE)
    return _compiled(rows, known, groups)


def of_group(connection: Connection, group_id: int) -> Rights:
    """What the group's members have by it alone."""
    return _compiled(_of_groups(connection, [group_id]), roles.everything(connection), {})


def _compiled(rows: Iterable[Row], known: Mapping[str, Role], groups: Mapping[int, str]) -> Rights:
    def right(row: Row) -> Right:
        grant_id, role, subject_kind, group_id, kind, path, condition, expires_at_ms = row
        group = groups.get(group_id, "")
        meant = known[role] if subject_kind != EVERYONE else _for_everyone(known[role])
        return Right(grant_id, meant, Place(kind, path), condition, expires_at_ms, subject_kind, group)

    by_place: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row[1] in known:
            by_place.setdefault(_key(row[4], row[5]), []).append(row)
    return Rights(ByPlace(by_place, right))


def _key(kind: str, path: str) -> tuple[str, str]:
    return (kind, path) if kind != PATTERN else (kind, Place(kind, path).anchor or "")


def _and_above(path: str) -> Iterator[str]:
    """The path, and those of the namespaces that it is in, upwards."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def _for_everyone(role: Role) -> Role:
    """Whatever became of the role since it was granted: strangers only read."""
    return role if role.permissions <= FOR_EVERYONE else replace(role, permissions=role.permissions & FOR_EVERYONE)


def _of_groups(connection: Connection, group_ids: list[int]) -> list[Row]:
    if not group_ids:
        return []
    found = _groups_statement(connection.dialect.name).one(connection, group_ids=json.dumps(group_ids))
    rows: list[Row] = orjson.loads(found[0]) if found is not None and found[0] is not None else []
    return rows


@cache
def _groups_statement(dialect_name: str) -> Statement:
    ids = dialect.numbers(bindparam("group_ids", type_=String), dialect_name)
    rows = dialect.json_rows(_COLUMNS, dialect_name)
    return Statement(select(rows).where(grants.c.group_id.in_(select(ids))))
