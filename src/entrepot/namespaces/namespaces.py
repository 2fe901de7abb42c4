"""Namespaces: the paths above repositories, and what holds for everything below them.

A namespace needs no row to exist; a row is a setting. The nearest one above a repository (or its own) holds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, bindparam, delete, false, func, insert, select

from entrepot.database import dialect, topics
from entrepot.database.changes import announce
from entrepot.namespaces.tables import namespaces
from entrepot.namespaces.tables import visibility as visibilities
from entrepot.oci.name import RepositoryName

_SETTINGS = select(namespaces.c.path, namespaces.c.public).where(
    namespaces.c.path.in_(bindparam("paths", expanding=True))
)
_LIST = select(namespaces.c.path, namespaces.c.public).order_by(namespaces.c.path)
PATH = namespaces.c.path
"""For filters of lists."""
ROOT_POSITION = "/"
"""Where the registry's root, whose path is empty, is in a list: before all that has a name."""
_LOCK = 0x6E61_6D65_7370
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
    low = visibilities.c.low
    last = select(visibilities.c.public).where(low <= repository).order_by(low.desc()).limit(1)
    return func.coalesce(last.correlate_except(visibilities).scalar_subquery(), false())


def set_public(connection: Connection, path: str, public: bool, now_ms: int) -> None:
    dialect.take_turns(connection, _LOCK)
    dialect.execute(connection, _SET, {"path": path, "public": public, "created_at_ms": now_ms})
    _resolve(connection)
    announce(connection, topics.NAMESPACES)


def inherit(connection: Connection, path: str) -> bool:
    """Remove the setting; what is above holds again. False when there was none."""
    dialect.take_turns(connection, _LOCK)
    removed = connection.execute(delete(namespaces).where(namespaces.c.path == path))
    _resolve(connection)
    announce(connection, topics.NAMESPACES)
    return removed.rowcount > 0


def listing(connection: Connection) -> list[Namespace]:
    return [Namespace(*row) for row in connection.execute(_LIST)]


def page(connection: Connection, readable: ColumnElement[bool], *, after: str, limit: int) -> list[Namespace]:
    """Settings of namespaces for which the condition on PATH holds, in byte order, after a position."""
    statement = _LIST.where(PATH >= "" if not after else after < PATH, readable).limit(limit)
    return [Namespace(*row) for row in connection.execute(statement)]


def _resolve(connection: Connection) -> None:
    """Write down what the settings come to, so that a list finds a repository's visibility by one look at an index."""
    rows = _changes({row.path: row.public for row in connection.execute(_LIST)})
    connection.execute(delete(visibilities))
    if rows:
        connection.execute(insert(visibilities), [{"low": low, "public": public} for low, public in rows])


def _changes(settings: Mapping[str, bool]) -> list[tuple[str, bool]]:
    """The names, in byte order, from which on another visibility holds than before; at first all is private."""
    points: dict[str, bool] = {}
    for path in settings:
        if path:
            # A path is followed by names that only begin with its letters ("-" comes before "/"), then by those below
            # it, then by others again; "!" comes before all that a name can go on with, "0" after "/".
            points[f"{path}!"] = points[f"{path}0"] = _nearest(settings, RepositoryName(path).ancestors()[1:])
    for path, public in settings.items():
        points[path] = public
        if path:
            points[f"{path}/"] = public
    found, before = list[tuple[str, bool]](), False
    for low in sorted(points):
        if points[low] != before:
            before = points[low]
            found.append((low, before))
    return found


def _nearest(settings: Mapping[str, bool], paths: Iterable[str]) -> bool:
    return next((settings[path] for path in paths if path in settings), False)
