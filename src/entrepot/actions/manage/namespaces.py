"""Public or private: what holds for all that is below a namespace."""

from collections.abc import Callable

from sqlalchemy import Connection, and_

from entrepot.access import visible
from entrepot.access.places import NAMESPACE, REGISTRY, Place
from entrepot.actions import acts
from entrepot.actions.authorize import place_resource
from entrepot.app import App
from entrepot.audit.record import Act
from entrepot.content.repositories import Reader
from entrepot.namespaces import namespaces
from entrepot.namespaces.errors import NamespaceUnknown
from entrepot.namespaces.namespaces import Namespace, Visibility
from entrepot.principal import Origin, Principal

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


async def put(
    app: App, principal: Principal, origin: Origin, path: str, expect: Expect, *, public: bool
) -> tuple[Visibility, bool]:
    """Answers what holds then, and whether the setting is new."""

    def run(connection: Connection) -> bool:
        before = namespaces.visibility(connection, path)
        expect(before)
        namespaces.set_public(connection, path, public, app.clock())
        return not before.is_own

    new = await acts.change(app, principal, origin, _act(path, "public" if public else "private"), run)
    return Visibility(path, public, path), new


async def inherit(app: App, principal: Principal, origin: Origin, path: str, expect: Expect) -> None:
    """Raises NamespaceUnknown."""

    def run(connection: Connection) -> None:
        expect(namespaces.visibility(connection, path))
        if not namespaces.inherit(connection, path):
            raise NamespaceUnknown(f"{path or 'the registry'} has no setting of its own")

    await acts.change(app, principal, origin, _act(path, "inherit"), run)


def _act(path: str, visibility: str) -> Act:
    return Act("namespace:visibility", place_resource(place(path)), detail={"visibility": visibility})
