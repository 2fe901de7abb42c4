"""Groups: the registry's own, whose members are set here, and those of directories, whose members are set there."""

import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, select, update

from entrepot.database import dialect, topics
from entrepot.database.changes import announce
from entrepot.database.statements import Statement
from entrepot.errors import Invalid
from entrepot.identity.errors import GroupUnknown, NameTaken
from entrepot.identity.tables import group_members, groups, users
from entrepot.identity.users import LOCAL, User

GROUPS_OF_USER_MAX = 2000
"""Groups of a directory's user that are kept; the rest is ignored."""
_NAMES_IN_QUERY_MAX = 500


@dataclass(frozen=True, slots=True)
class Group:
    id: int
    provider: str
    name: str
    description: str
    created_at_ms: int

    @property
    def key(self) -> str:
        return f"{self.provider}:{self.name}"


_COLUMNS = tuple(groups.c[name] for name in Group.__dataclass_fields__)
_INSERT = dialect.insert_or_ignore(groups, "provider", "name", returning=_COLUMNS)
_ADD_MEMBER = dialect.insert_or_ignore(group_members, "user_id", "group_id", returning=(group_members.c.user_id,))
_OF_USER = Statement(
    select(groups.c.id, groups.c.provider, groups.c.name)
    .join(group_members, group_members.c.group_id == groups.c.id)
    .where(group_members.c.user_id == bindparam("user_id"))
)


def of_user(connection: Connection, user_id: int) -> dict[int, str]:
    """The user's groups: id to `provider:name`."""
    return {row[0]: f"{row[1]}:{row[2]}" for row in _OF_USER.all(connection, user_id=user_id)}


def find(connection: Connection, provider: str, name: str) -> Group | None:
    row = (
        connection.execute(select(*_COLUMNS).where(groups.c.provider == provider, groups.c.name == name))
        .mappings()
        .one_or_none()
    )
    return None if row is None else Group(**row)


def get(connection: Connection, group_id: int) -> Group | None:
    row = connection.execute(select(*_COLUMNS).where(groups.c.id == group_id)).mappings().one_or_none()
    return None if row is None else Group(**row)


def keys(connection: Connection, ids: Collection[int]) -> dict[int, str]:
    """`provider:name` of the groups with these ids, of which a page of a list has not too many."""
    chosen = select(groups.c.id, groups.c.provider, groups.c.name).where(groups.c.id.in_(ids))
    return {row.id: f"{row.provider}:{row.name}" for row in connection.execute(chosen)}


def require(connection: Connection, provider: str, name: str) -> Group:
    """Raises GroupUnknown."""
    group = find(connection, provider, name)
    if group is None:
        raise GroupUnknown(f"the provider {provider} has no group {name[:255]}")
    return group


def page(connection: Connection, *, provider: str | None, after: int, limit: int) -> list[Group]:
    statement = select(*_COLUMNS).where(groups.c.id > after).order_by(groups.c.id).limit(limit)
    if provider is not None:
        statement = statement.where(groups.c.provider == provider)
    return [Group(**row) for row in connection.execute(statement).mappings()]


def add(connection: Connection, provider: str, name: str, description: str, now_ms: int) -> Group:
    """Raises NameTaken, and Invalid for a name that cannot be one.

    A directory's group can be granted something before the first of its members has signed in.
    """
    if not _is_name(name):
        raise Invalid("a group's name must have 1 to 255 characters")
    if provider == LOCAL and (
        {"/", "\ufffd"} & set(name) or not name.isprintable() or not unicodedata.is_normalized("NFC", name)
    ):
        raise Invalid("a local group's name may not contain slashes or invisible characters")
    values = {"provider": provider, "name": name, "description": description[:255], "created_at_ms": now_ms}
    row = dialect.execute(connection, _INSERT, values).mappings().one_or_none()
    if row is None:
        raise NameTaken(f"the group {name} exists already", {"name": name})
    return Group(**row)


def ensure(connection: Connection, provider: str, name: str, now_ms: int) -> Group:
    """The group, made now if it is not there. Raises Invalid."""
    return find(connection, provider, name) or add(connection, provider, name, "", now_ms)


def describe(connection: Connection, group: Group, description: str) -> None:
    connection.execute(update(groups).where(groups.c.id == group.id).values(description=description[:255]))


def remove(connection: Connection, group: Group) -> None:
    """Take the group away with its grants."""
    connection.execute(delete(groups).where(groups.c.id == group.id))
    announce(connection, topics.ACCESS)


def members(connection: Connection, group: Group, *, after: int, limit: int) -> list[tuple[int, str, str]]:
    """(id, provider, name) of the group's members, after one."""
    rows = connection.execute(
        select(users.c.id, users.c.provider, users.c.name)
        .join(group_members, group_members.c.user_id == users.c.id)
        .where(group_members.c.group_id == group.id, users.c.id > after)
        .order_by(users.c.id)
        .limit(limit)
    )
    return [(row.id, row.provider, row.name) for row in rows]


def add_member(connection: Connection, group: Group, user: User) -> bool:
    """False when the user is a member already."""
    added = dialect.execute(connection, _ADD_MEMBER, {"user_id": user.id, "group_id": group.id}).first()
    announce(connection, topics.ACCESS)
    return added is not None


def remove_member(connection: Connection, group: Group, user: User) -> bool:
    """False when the user is no member."""
    removed = connection.execute(
        delete(group_members).where(group_members.c.group_id == group.id, group_members.c.user_id == user.id)
    )
    announce(connection, topics.ACCESS)
    return removed.rowcount > 0


def set_of_user(connection: Connection, user: User, provider: str, names: Iterable[str], now_ms: int) -> bool:
    """Make these the user's groups of the provider; groups of other providers stay. True when something changed."""
    wanted = list(dict.fromkeys(filter(_is_name, names)))[:GROUPS_OF_USER_MAX]
    rows = connection.execute(
        select(groups.c.name, groups.c.id)
        .join(group_members, group_members.c.group_id == groups.c.id)
        .where(group_members.c.user_id == user.id, groups.c.provider == provider)
    )
    current: dict[str, int] = {row.name: row.id for row in rows}
    joined = [name for name in wanted if name not in current]
    kept = set(wanted)
    left = [group_id for name, group_id in current.items() if name not in kept]
    if left:
        connection.execute(
            delete(group_members).where(group_members.c.user_id == user.id, group_members.c.group_id.in_(left))
        )
    ids = _ensure(connection, provider, joined, now_ms)
    for group_id in ids:
        # Of one user's logins at the same time, another one may have done it.
        dialect.execute(connection, _ADD_MEMBER, {"user_id": user.id, "group_id": group_id})
    if joined or left:
        announce(connection, topics.ACCESS)
    return bool(joined or left)


def _is_name(name: str) -> bool:
    return bool(name.strip()) and len(name) <= 255 and not any(ord(character) < 32 for character in name)


def _ensure(connection: Connection, provider: str, names: list[str], now_ms: int) -> list[int]:
    """The ids of the groups with these names, made where they are missing."""
    found: dict[str, int] = {}
    for start in range(0, len(names), _NAMES_IN_QUERY_MAX):
        some = names[start : start + _NAMES_IN_QUERY_MAX]
        rows = connection.execute(
            select(groups.c.name, groups.c.id).where(groups.c.provider == provider, groups.c.name.in_(some))
        )
        found |= {row.name: row.id for row in rows}
    for name in names:
        if name not in found:
            values = {"provider": provider, "name": name, "description": "", "created_at_ms": now_ms}
            row = dialect.execute(connection, _INSERT, values).mappings().one_or_none()
            found[name] = row["id"] if row is not None else require(connection, provider, name).id
    return list(found.values())
