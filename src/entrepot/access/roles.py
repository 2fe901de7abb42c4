"""Roles: sets of permissions with a name. Some are built in, others are made by administrators."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, select

from entrepot.access.errors import RoleInUse, RoleInvalid, RoleUnknown
from entrepot.access.permissions import GRANTABLE, Permission
from entrepot.access.tables import grants, roles
from entrepot.database import dialect, topics
from entrepot.database.changes import announce

DESCRIPTION_CHARACTERS_MAX = 255
_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}", re.ASCII)
_READER = {Permission.REPOSITORY_PULL, Permission.NAMESPACE_READ}
_DEVELOPER = _READER | {Permission.REPOSITORY_PUSH}
_MAINTAINER = _DEVELOPER | {Permission.REPOSITORY_DELETE, Permission.GRANT_READ, Permission.ROBOT_READ}
_OWNER = _MAINTAINER | {
    Permission.NAMESPACE_WRITE,
    Permission.GRANT_WRITE,
    Permission.ROBOT_WRITE,
}
_AUDITOR = {
    Permission.AUDIT_READ,
    Permission.NAMESPACE_READ,
    Permission.GRANT_READ,
    Permission.ROBOT_READ,
    Permission.USER_READ,
    Permission.GROUP_READ,
    Permission.ROLE_READ,
    Permission.PROVIDER_READ,
    Permission.ACCESS_EXPLAIN,
    Permission.METRICS_READ,
}


@dataclass(frozen=True, slots=True)
class Role:
    name: str
    description: str
    permissions: frozenset[Permission]
    built_in: bool = False


ADMINISTRATOR = "administrator"
BUILT_IN: Mapping[str, Role] = {
    role.name: role
    for role in (
        Role("reader", "Can pull.", frozenset(_READER), built_in=True),
        Role("developer", "Can pull and push.", frozenset(_DEVELOPER), built_in=True),
        Role("maintainer", "Can also delete, and see who has access.", frozenset(_MAINTAINER), built_in=True),
        Role("owner", "Can also manage access and robots.", frozenset(_OWNER), built_in=True),
        Role(
            "auditor", "Can read the audit log and who has access, but no content.", frozenset(_AUDITOR), built_in=True
        ),
        Role(ADMINISTRATOR, "Everything.", frozenset(GRANTABLE), built_in=True),
    )
}
_CUSTOM = select(roles.c.name, roles.c.description, roles.c.permissions).order_by(roles.c.name)
_PUT = dialect.insert_or_update(roles, "name", update=("description", "permissions"))
_USED = select(grants.c.id).where(grants.c.role == bindparam("role")).limit(1)


def everything(connection: Connection) -> dict[str, Role]:
    """All roles by name."""
    custom = {
        row.name: Role(row.name, row.description, _permissions(json.loads(row.permissions)))
        for row in connection.execute(_CUSTOM)
    }
    return {**custom, **BUILT_IN}


def require(connection: Connection, name: str) -> Role:
    """Raises RoleUnknown."""
    found = everything(connection).get(name)
    if found is None:
        raise RoleUnknown(f"there is no role {name[:64]}", {"role": name[:64]})
    return found


def parse(name: str, description: str, permissions: Iterable[str]) -> Role:
    """Raises RoleInvalid."""
    if not _NAME.fullmatch(name) or name in BUILT_IN:
        raise RoleInvalid(
            "a role's name may contain lower-case letters, digits and dashes, and must not be that of a built-in role"
        )
    if len(description) > DESCRIPTION_CHARACTERS_MAX or any(ord(character) < 32 for character in description):
        raise RoleInvalid(f"a role's description must be one line of at most {DESCRIPTION_CHARACTERS_MAX} characters")
    wanted = frozenset(permissions)
    known = {permission.value: permission for permission in GRANTABLE}
    unknown = sorted(wanted - set(known))
    if unknown or not wanted:
        raise RoleInvalid(
            f"a role needs one or more of the permissions {', '.join(sorted(known))}", {"unknown": unknown}
        )
    return Role(name, description, frozenset(known[value] for value in wanted))


def lock(connection: Connection, name: str, *, to_change: bool) -> None:
    """Until the transaction ends, nobody changes the role; nor grants it, if it is this transaction that changes it.

    SQLite has one writer at a time, and no such thing.
    """
    connection.execute(select(roles.c.name).where(roles.c.name == name).with_for_update(read=not to_change))


def put(connection: Connection, role: Role, now_ms: int) -> None:
    """Make the role, or change it."""
    values = {
        "name": role.name,
        "description": role.description,
        "permissions": json.dumps(sorted(permission.value for permission in role.permissions)),
        "created_at_ms": now_ms,
    }
    dialect.execute(connection, _PUT, values)
    announce(connection, topics.ACCESS)


def remove(connection: Connection, name: str) -> None:
    """Raises RoleUnknown, RoleInvalid for a built-in role, RoleInUse."""
    if require(connection, name).built_in:
        raise RoleInvalid(f"the role {name} is built in and cannot be changed or removed")
    if connection.execute(_USED, {"role": name}).first() is not None:
        raise RoleInUse(f"the role {name} is in use: revoke its grants first")
    connection.execute(delete(roles).where(roles.c.name == name))
    announce(connection, topics.ACCESS)


def having(permission: Permission) -> list[str]:
    """The built-in roles with this permission, for people who are told what they lack."""
    return [role.name for role in BUILT_IN.values() if permission in role.permissions]


def _permissions(values: Iterable[str]) -> frozenset[Permission]:
    """What a newer version of the program wrote may have permissions that this one does not know."""
    known = {permission.value: permission for permission in GRANTABLE}
    return frozenset(known[value] for value in values if value in known)
