"""Namespaces: the paths above repositories, and what holds for everything below them.

A namespace needs no row to exist; a row is a setting. The nearest one above a repository (or its own) holds.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, bindparam, delete, false, func, or_, select

from entrepot.database import dialect, topics
from entrepot.database.changes import announce
from entrepot.namespaces.tables import namespaces
from entrepot.oci.name import RepositoryName

_SETTINGS = select(namespaces.c.path, namespaces.c.public).where(
    namespaces.c.path.in_(bindparam("paths", expanding=True))
)
_LIST = select(namespaces.c.path, namespaces.c.public).order_by(namespaces.c.path)
PATH = namespaces.c.path
"""For filters of lists."""
ROOT_POSITION = "/"
"""Where the registry's root, whose path is empty, is in a list: before all that has a name."""
_SET = dialect.insert_or_update(namespaces, "path", update=("public",))


@dataclass(frozen=True, slots=True)
class Namespace:
    """`path` is empty for the registry's root."""

    path: str
    public: bool


@dataclass(frozen=True, slots=True)
class Visibility:
    """What holds for what is at a path: `source` is the path of the setting, None when there is none at all."""

    path: str
    public: bool
    source: str | None

    @property
    def is_own(self) -> bool:
        return self.source == self.path


def is_public(connection: Connection, repository: RepositoryName) -> bool:
    """Whether anybody may pull from the repository."""
    return visibility(connection, repository).public


def visibility(connection: Connection, path: str) -> Visibility:
    """By the nearest setting at the path or above it; private without any."""
    paths = RepositoryName(path).ancestors() if path else ("",)
    settings = {row.path: row.public for row in connection.execute(_SETTINGS, {"paths": paths})}
    source = next((above for above in paths if above in settings), None)
    return Visibility(path, source is not None and settings[source], source)


def public(repository: ColumnElement[str]) -> ColumnElement[bool]:
    """`is_public`, as a filter for a list of repositories."""
    path = namespaces.c.path
    above = or_(path == "", path == repository, func.substr(repository, 1, func.length(path) + 1) == path + "/")
    nearest = select(namespaces.c.public).where(above).order_by(func.length(path).desc()).limit(1)
    return func.coalesce(nearest.correlate_except(namespaces).scalar_subquery(), false())


def set_public(connection: Connection, path: str, public: bool, now_ms: int) -> None:
    dialect.execute(connection, _SET, {"path": path, "public": public, "created_at_ms": now_ms})
    announce(connection, topics.NAMESPACES)


def inherit(connection: Connection, path: str) -> bool:
    """Remove the setting; what is above holds again. False when there was none."""
    removed = connection.execute(delete(namespaces).where(namespaces.c.path == path))
    announce(connection, topics.NAMESPACES)
    return removed.rowcount > 0


def listing(connection: Connection) -> list[Namespace]:
    return [Namespace(*row) for row in connection.execute(_LIST)]


def page(connection: Connection, readable: ColumnElement[bool], *, after: str, limit: int) -> list[Namespace]:
    """Settings of namespaces for which the condition on PATH holds, in byte order, after a position."""
    statement = _LIST.where(PATH >= "" if not after else after < PATH, readable).limit(limit)
    return [Namespace(*row) for row in connection.execute(statement)]
