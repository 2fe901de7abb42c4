"""Users, keyed by identity provider and name."""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select, update

from entrepot.database import dialect
from entrepot.database.changes import announce
from entrepot.identity.tables import users

LOCAL = "local"
"""The provider of users whose passwords this registry keeps."""
ADMINISTRATOR = "admin"
TOPIC = "users"
"""What caches about users are announced under."""


@dataclass(frozen=True, slots=True)
class User:
    provider: str
    name: str
    password_hash: str | None
    administrator: bool


_FIND = select(users.c.provider, users.c.name, users.c.password_hash, users.c.administrator).where(
    users.c.provider == bindparam("provider"), users.c.name == bindparam("name")
)
_ANY_ADMINISTRATOR = select(users.c.id).where(users.c.administrator).limit(1)
_INSERT = dialect.insert_or_ignore(users, "provider", "name", returning=(users.c.id,))


def find(connection: Connection, provider: str, name: str) -> User | None:
    row = connection.execute(_FIND, {"provider": provider, "name": name}).one_or_none()
    return None if row is None else User(*row)


def has_administrator(connection: Connection) -> bool:
    return connection.execute(_ANY_ADMINISTRATOR).first() is not None


def add_administrator(connection: Connection, name: str, password_hash: str, now_ms: int) -> bool:
    """Add a local administrator; False when a user of that name is there already."""
    values = {
        "provider": LOCAL,
        "name": name,
        "password_hash": password_hash,
        "administrator": True,
        "created_at_ms": now_ms,
    }
    added = dialect.execute(connection, _INSERT, values).first() is not None
    announce(connection, TOPIC)
    return added


def set_password(connection: Connection, name: str, password_hash: str) -> bool:
    """Replace a local user's password; False when there is no such user."""
    changed = connection.execute(
        update(users).where(users.c.provider == LOCAL, users.c.name == name).values(password_hash=password_hash)
    )
    announce(connection, TOPIC)
    return changed.rowcount > 0
