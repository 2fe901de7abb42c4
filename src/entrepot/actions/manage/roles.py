"""Making, changing and removing roles."""

from collections.abc import Callable

from sqlalchemy import Connection

from entrepot.access import roles
from entrepot.access.roles import Role
from entrepot.actions import acts
from entrepot.app import App
from entrepot.audit.record import Act
from entrepot.principal import Origin, Principal

Expect = Callable[[Role | None], None]
"""Called in the transaction with what is there before; raises if the change was meant for something else."""


async def put(app: App, principal: Principal, origin: Origin, role: Role, expect: Expect) -> bool:
    """Make the role, or change it; answers whether it is new."""

    def run(connection: Connection) -> bool:
        before = roles.everything(connection).get(role.name)
        expect(before)
        roles.put(connection, role, app.clock())
        return before is None

    permissions = sorted(permission.value for permission in role.permissions)
    act = Act("role:put", f"role:{role.name}", detail={"permissions": permissions})
    return await acts.change(app, principal, origin, act, run)


async def remove(app: App, principal: Principal, origin: Origin, name: str, expect: Expect) -> None:
    """Raises RoleUnknown, RoleInvalid, RoleInUse."""

    def run(connection: Connection) -> None:
        expect(roles.require(connection, name))
        roles.remove(connection, name)

    await acts.change(app, principal, origin, Act("role:delete", f"role:{name}"), run)
