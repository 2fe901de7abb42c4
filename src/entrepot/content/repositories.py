"""Repositories: rows with a name, made by the first push."""

from sqlalchemy import Connection, bindparam, select

from entrepot.content.errors import RepositoryUnknown
from entrepot.content.tables import repositories
from entrepot.database import dialect
from entrepot.database.statements import Statement
from entrepot.oci.name import RepositoryName

_FIND = Statement(select(repositories.c.id).where(repositories.c.name == bindparam("name")))
_INSERT = dialect.insert_or_ignore(repositories, "name", returning=(repositories.c.id,))
_NAMES = (
    select(repositories.c.name)
    .where(repositories.c.name > bindparam("after"))
    .order_by(repositories.c.name)
    .limit(bindparam("limit"))
)


def find(connection: Connection, name: RepositoryName) -> int | None:
    row = _FIND.one(connection, name=name)
    return None if row is None else int(row[0])


def require(connection: Connection, name: RepositoryName) -> int:
    """Raises RepositoryUnknown."""
    repository_id = find(connection, name)
    if repository_id is None:
        raise RepositoryUnknown(f"there is no repository {name}: push an image to make it", {"name": name})
    return repository_id


def ensure(connection: Connection, name: RepositoryName, now_ms: int) -> int:
    """The repository's id, made now if it is not there."""
    while True:
        repository_id = find(connection, name)
        if repository_id is not None:
            return repository_id
        inserted = dialect.execute(connection, _INSERT, {"name": name, "created_at_ms": now_ms}).scalar()
        if inserted is not None:
            return int(inserted)


def names(connection: Connection, after: str, limit: int) -> list[str]:
    """Repository names in byte order, after the given one."""
    return list(connection.execute(_NAMES, {"after": after, "limit": limit}).scalars())


def topic(name: RepositoryName) -> str:
    """What caches about the repository's content are announced under."""
    return f"repository:{name}"
