"""Repositories: rows with a name, made by the first push."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, bindparam, insert, or_, select, update

from entrepot.access import visible
from entrepot.access.rights import Visible
from entrepot.content.errors import RepositoryUnknown
from entrepot.content.tables import repositories, repository_usage
from entrepot.database import dialect
from entrepot.database.statements import Statement
from entrepot.namespaces import namespaces
from entrepot.oci.name import RepositoryName

_FIND = Statement(select(repositories.c.id).where(repositories.c.name == bindparam("name")))
_INSERT = dialect.insert_or_ignore(repositories, "name", returning=(repositories.c.id,))

_INSERT_USAGE = insert(repository_usage).values(tags=0, manifests=0, bytes=0)
_COUNT = Statement(
    update(repository_usage)
    .where(repository_usage.c.repository_id == bindparam("of_repository"))
    .values(
        tags=repository_usage.c.tags + bindparam("more_tags"),
        manifests=repository_usage.c.manifests + bindparam("more_manifests"),
        bytes=repository_usage.c.bytes + bindparam("more_bytes"),
    )
)
_DESCRIBE = (
    select(
        repositories.c.created_at_ms,
        namespaces.public(repositories.c.name),
        repository_usage.c.tags,
        repository_usage.c.manifests,
        repository_usage.c.bytes,
    )
    .join(repository_usage, repository_usage.c.repository_id == repositories.c.id)
    .where(repositories.c.id == bindparam("repository_id"))
)


def find(connection: Connection, name: RepositoryName) -> int | None:
    row = _FIND.one(connection, name=name)
    return None if row is None else int(row[0])


def require(connection: Connection, name: RepositoryName) -> int:
    """Raises RepositoryUnknown."""
    repository_id = find(connection, name)
    if repository_id is None:
        raise RepositoryUnknown(f"there is no repository {name}: push an image to create it", {"name": name})
    return repository_id


def ensure(connection: Connection, name: RepositoryName, now_ms: int) -> int:
    """The repository's id, made now if it is not there."""
    while True:
        repository_id = find(connection, name)
        if repository_id is not None:
            return repository_id
        inserted = dialect.execute(connection, _INSERT, {"name": name, "created_at_ms": now_ms}).scalar()
        if inserted is not None:
            connection.execute(_INSERT_USAGE, {"repository_id": inserted})
            return int(inserted)


def count(connection: Connection, repository_id: int, *, tags: int = 0, manifests: int = 0, size: int = 0) -> None:
    """Note how much there is more, or less, in the repository.

    To be called last in a transaction: all others that change how much is in the repository wait for its end.
    """
    if tags or manifests or size:
        _COUNT.run(connection, of_repository=repository_id, more_tags=tags, more_manifests=manifests, more_bytes=size)


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads a list of repositories: what the user may pull, and (None: no) what the credentials are limited to.

    What is public is everybody's, within those limits.
    """

    rights: Visible
    limits: Visible | None = None


def names(
    connection: Connection, reader: Reader, after: str, limit: int, *, below: str = "", text: str = ""
) -> list[str]:
    """Names of repositories that the reader may pull from, in byte order, after the given one.

    `below` limits them to a namespace, `text` to those that have it in their name.
    """
    name = repositories.c.name
    statement = select(name).where(name > after, _readable(reader, connection.dialect.name)).order_by(name).limit(limit)
    if below:
        statement = statement.where(or_(name == below, and_(name > f"{below}/", name < f"{below}0")))
    if text:
        statement = statement.where(name.contains(text, autoescape=True))
    return list(connection.execute(statement).scalars())


@dataclass(frozen=True, slots=True)
class Repository:
    """`public`: anybody may pull. The time is in milliseconds since the epoch."""

    name: str
    created_at_ms: int
    public: bool


@dataclass(frozen=True, slots=True)
class Content:
    """How much is in a repository. Of layers that several repositories have, one copy is stored."""

    tags: int
    manifests: int
    bytes: int


def page(
    connection: Connection, reader: Reader, *, after: str, limit: int, below: str = "", text: str = ""
) -> list[Repository]:
    """As `names`, with what a list shows of each."""
    found = names(connection, reader, after, limit, below=below, text=text)
    name = repositories.c.name
    statement = select(name, repositories.c.created_at_ms, namespaces.public(name)).where(name.in_(found))
    return [Repository(*row) for row in connection.execute(statement.order_by(name))]


def describe(connection: Connection, name: RepositoryName) -> tuple[Repository, Content]:
    """Raises RepositoryUnknown."""
    repository_id = require(connection, name)
    created_at_ms, public, *content = connection.execute(_DESCRIBE, {"repository_id": repository_id}).one()
    return Repository(name, created_at_ms, public), Content(*content)


def _readable(reader: Reader, dialect_name: str) -> ColumnElement[bool]:
    name = repositories.c.name
    readable = visible.within(name, reader.rights, dialect_name=dialect_name)
    if not reader.rights.everything:
        readable = or_(readable, namespaces.public(name))
    if reader.limits is not None:
        readable = and_(readable, visible.within(name, reader.limits, dialect_name=dialect_name))
    return readable
