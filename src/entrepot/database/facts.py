"""Facts about the registry as a whole, by name: the identity of its store, when something is due next."""

from sqlalchemy import Connection, bindparam, select, update

from entrepot.database import dialect
from entrepot.database.tables import facts

_GET = select(facts.c.value).where(facts.c.name == bindparam("name"))
_ADD = dialect.insert_or_ignore(facts, "name")
_PUT = dialect.insert_or_update(facts, "name", update=("value",))


def get(connection: Connection, name: str) -> str | None:
    value: str | None = connection.execute(_GET, {"name": name}).scalar()
    return value


def put(connection: Connection, name: str, value: str) -> None:
    dialect.execute(connection, _PUT, {"name": name, "value": value})


def add(connection: Connection, name: str, value: str) -> str:
    """Keep the value if there is none yet; returns the one that is there then."""
    dialect.execute(connection, _ADD, {"name": name, "value": value})
    return get(connection, name) or value


def replace(connection: Connection, name: str, before: str, value: str) -> bool:
    """Put the value in the place of another one; False when somebody else did so first."""
    statement = update(facts).where(facts.c.name == name, facts.c.value == before).values(value=value)
    return connection.execute(statement).rowcount > 0
