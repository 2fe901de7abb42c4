"""The rights of one user, or of anybody: every grant that can ever apply, read once and asked often.

`allows` decides, `visible` says the same as a filter for lists, `explain` says why: they read the same grants.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, select

from entrepot.access import conditions, roles
from entrepot.access.conditions import Context
from entrepot.access.grants import EVERYONE, GROUP, SIGNED_IN, USER
from entrepot.access.permissions import PLACED, Permission
from entrepot.access.places import NAMESPACE, PATTERN, REGISTRY, REPOSITORY, Place
from entrepot.access.roles import Role
from entrepot.access.tables import grants
from entrepot.database.statements import Statement

_COLUMNS = (
    grants.c.id,
    grants.c.role,
    grants.c.subject_kind,
    grants.c.group_id,
    grants.c.scope_kind,
    grants.c.scope,
    grants.c.condition,
    grants.c.expires_at_ms,
)
_OF_USER = Statement(select(*_COLUMNS).where(grants.c.subject_kind == USER, grants.c.user_id == bindparam("user_id")))
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


@dataclass(frozen=True, slots=True)
class Rights:
    """`by_place` is keyed by kind and path of the place; patterns are looked at one by one."""

    by_place: Mapping[tuple[str, str], tuple[Right, ...]] = field(default_factory=dict)
    patterns: tuple[Right, ...] = ()

    @classmethod
    def of(cls, rights: list[Right]) -> "Rights":
        by_place: dict[tuple[str, str], list[Right]] = {}
        for right in rights:
            if right.place.kind != PATTERN:
                by_place.setdefault((right.place.kind, right.place.path), []).append(right)
        patterns = tuple(right for right in rights if right.place.kind == PATTERN)
        return cls({key: tuple(found) for key, found in by_place.items()}, patterns)

    def allows(self, permission: Permission, path: str | None, context: Context) -> bool:
        """Whether some grant has the permission for what is at the path, a namespace or a repository.

        None is the registry itself, and only grants for the whole registry reach that.
        """
        return any(
            permission in right.role.permissions and right.in_force(context) for right in self._at(permission, path)
        )

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
            for right in self._all()
            if permission in right.role.permissions and right.place.includes(place) and right.in_force(context)
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
                missing = f"it holds for {right.place} only"
            elif permission not in right.role.permissions:
                missing = f"the role {right.role.name} does not have {permission.value}"
            elif right.expires_at_ms is not None and right.expires_at_ms <= context.now_ms:
                missing, lapsed = "it has expired", True
            elif right.condition is not None and not conditions.holds(right.condition, context):
                missing, unmet = f"its condition does not hold: {right.condition}", True
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
        yield from self.by_place.get((REGISTRY, ""), ())
        if path is None or permission not in PLACED:
            return
        yield from self.by_place.get((REPOSITORY, path), ())
        above = path
        while above:
            yield from self.by_place.get((NAMESPACE, above), ())
            above = above.rpartition("/")[0]
        for right in self.patterns:
            if right.place.covers(path):
                yield right

    def _all(self) -> Iterator[Right]:
        for rights in self.by_place.values():
            yield from rights
        yield from self.patterns


NO_RIGHTS = Rights()


def load(connection: Connection, user_id: int | None, groups: Mapping[int, str]) -> Rights:
    """The rights of a user with these groups (id to name), or of anybody when there is no user."""
    known = roles.everything(connection)
    rows = list(_OF_ANYBODY.all(connection, subject_kind=EVERYONE))
    if user_id is not None:
        rows += _OF_ANYBODY.all(connection, subject_kind=SIGNED_IN)
        rows += _OF_USER.all(connection, user_id=user_id)
        rows += _of_groups(connection, list(groups))
    return _compiled(rows, known, groups)


def of_group(connection: Connection, group_id: int) -> Rights:
    """What the group's members have by it alone."""
    return _compiled(_of_groups(connection, [group_id]), roles.everything(connection), {})


def _compiled(rows: Iterable[tuple[Any, ...]], known: Mapping[str, Role], groups: Mapping[int, str]) -> Rights:
    rights = []
    for grant_id, role, subject_kind, group_id, kind, path, condition, expires_at_ms in rows:
        if role in known:
            place, group = Place(kind, path), groups.get(group_id, "")
            rights.append(Right(grant_id, known[role], place, condition, expires_at_ms, subject_kind, group))
    return Rights.of(rights)


GROUPS_IN_QUERY_MAX = 500


def _of_groups(connection: Connection, group_ids: list[int]) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for start in range(0, len(group_ids), GROUPS_IN_QUERY_MAX):
        ids = group_ids[start : start + GROUPS_IN_QUERY_MAX]
        statement = select(*_COLUMNS).where(grants.c.subject_kind == GROUP, grants.c.group_id.in_(ids))
        found += [tuple(row) for row in connection.execute(statement)]
    return found
