"""Public or private: what holds for all that is below a namespace."""

from collections.abc import Callable

from sqlalchemy import Connection, and_

from entrepot.access import reach, visible
from entrepot.access.conditions import Context
from entrepot.access.permissions import Permission
from entrepot.access.places import NAMESPACE, REGISTRY, Place
from entrepot.access.reach import Wanted
from entrepot.actions import acts
from entrepot.actions.authorize import place_resource
from entrepot.actions.manage import standing
from entrepot.app import App
from entrepot.audit.actions import Action
from entrepot.audit.record import Act
from entrepot.content.repositories import Reader
from entrepot.errors import Denied
from entrepot.namespaces import namespaces
from entrepot.namespaces.errors import NamespaceUnknown
from entrepot.namespaces.namespaces import Namespace, Visibility
from entrepot.principal import Caller

Expect = Callable[[Visibility], None]
"""Called in the transaction with what holds before."""


def place(path: str) -> Place:
    """The namespace with all that is below it; the registry, when the path is empty."""
    return Place(NAMESPACE, path) if path else Place(REGISTRY, "")


def page(connection: Connection, reader: Reader, *, after: str, limit: int) -> list[Namespace]:
    """Namespaces with a setting, as far as this reader may read them."""
    name = connection.dialect.name
    readable = visible.within(namespaces.PATH, reader.rights, dialect_name=name)
    if reader.limits is not None:
        readable = and_(readable, visible.within(namespaces.PATH, reader.limits, dialect_name=name))
    return namespaces.page(connection, readable, after=after, limit=limit)


async def put(app: App, caller: Caller, path: str, expect: Expect, *, public: bool) -> tuple[Visibility, bool]:
    """Returns what holds then, and whether the setting is new. Raises Denied."""
    asked = await standing.context(app, caller)

    def run(connection: Connection) -> bool:
        before = namespaces.visibility(connection, path)
        expect(before)
        if public and not before.public:
            _require_may_publish(connection, asked, path)
        namespaces.set_public(connection, path, public, app.clock())
        return not before.is_own

    act = _act(path, "public" if public else "private")
    doing = acts.change(app, caller, act, run)
    new = await acts.or_refuse(app, caller, act.action, act.resource, doing)
    return Visibility(path, public, path), new


async def inherit(app: App, caller: Caller, path: str, expect: Expect) -> None:
    """Take the setting away: what holds above holds here, too. Raises NamespaceUnknown, Denied."""
    asked = await standing.context(app, caller)

    def run(connection: Connection) -> None:
        before = namespaces.visibility(connection, path)
        expect(before)
        if not namespaces.inherit(connection, path):
            raise NamespaceUnknown(f"{path or 'the registry'} has no setting of its own")
        if namespaces.visibility(connection, path).public and not before.public:
            _require_may_publish(connection, asked, path)

    act = _act(path, "inherit")
    doing = acts.change(app, caller, act, run)
    await acts.or_refuse(app, caller, act.action, act.resource, doing)


def _require_may_publish(connection: Connection, asked: Context, path: str) -> None:
    """To publish is to grant pulling to everyone, without an end and without a condition. Raises Denied."""
    wanted = Wanted(frozenset({Permission.REPOSITORY_PULL, Permission.NAMESPACE_WRITE}), place(path))
    found = reach.lacking(standing.holder(connection, asked), [wanted])
    if found:
        raise Denied(
            f"making {path or 'the registry'} public lets everyone pull, with no time limit or condition, and for "
            f"that you lack {', '.join(map(str, found))}: ask an owner",
            {"lacking": [str(lack) for lack in found]},
        )


def _act(path: str, visibility: str) -> Act:
    return Act(Action.NAMESPACE_VISIBILITY, place_resource(place(path)), detail={"visibility": visibility})
