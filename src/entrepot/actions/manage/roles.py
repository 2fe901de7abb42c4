"""Making, changing and removing roles."""

from collections.abc import Callable

from sqlalchemy import Connection

from entrepot.access import grants, roles
from entrepot.access.errors import RoleInvalid
from entrepot.access.grants import EVERYONE
from entrepot.access.permissions import FOR_EVERYONE
from entrepot.access.reach import Wanted
from entrepot.access.roles import Role
from entrepot.actions import acts
from entrepot.actions.manage import standing
from entrepot.app import App
from entrepot.audit.actions import Action
from entrepot.audit.record import Act
from entrepot.principal import Caller

Expect = Callable[[Role | None], None]
"""Called in the transaction with what is there before; raises if the change was meant for something else."""


async def put(app: App, caller: Caller, role: Role, expect: Expect) -> bool:
    """Make the role, or change it; returns whether it is new. To change a role is to grant it, wherever it is granted.

    Raises Denied, and RoleInvalid for what everyone would have.
    """
    asked = await standing.context(app, caller)

    def run(connection: Connection) -> bool:
        roles.lock(connection, role.name, to_change=True)
        before = roles.everything(connection).get(role.name)
        expect(before)
        added = role.permissions - (before.permissions if before is not None else frozenset())
        if before is not None and added:
            granted = grants.of_role(connection, role.name)
            if not role.permissions <= FOR_EVERYONE and any(grant.subject.kind == EVERYONE for grant in granted):
                raise RoleInvalid(
                    f"the role {role.name} is granted to everyone, so it may only allow reading: revoke that first"
                )
            wanted = [Wanted(added, grant.place, grant.condition, grant.expires_at_ms) for grant in granted]
            what = f"adding permissions to the role {role.name}, which is granted,"
            standing.require(standing.of(connection, asked), wanted, what)
        roles.put(connection, role, app.clock())
        return before is None

    permissions = sorted(permission.value for permission in role.permissions)
    act = Act(Action.ROLE_PUT, f"role:{role.name}", detail={"permissions": permissions})
    doing = acts.change(app, caller, act, run)
    return await acts.or_refuse(app, caller, act.action, act.resource, doing)


async def remove(app: App, caller: Caller, name: str, expect: Expect) -> None:
    """Raises RoleUnknown, RoleInvalid, RoleInUse."""

    def run(connection: Connection) -> None:
        roles.lock(connection, name, to_change=True)
        expect(roles.require(connection, name))
        roles.remove(connection, name)

    await acts.change(app, caller, Act(Action.ROLE_DELETE, f"role:{name}"), run)
