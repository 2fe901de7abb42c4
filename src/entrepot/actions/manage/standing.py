"""What somebody may do to others' accounts and memberships: nobody gets, or gives, more than they have themselves.

The permission to change users would otherwise be the permission to become any of them.
"""

from sqlalchemy import Connection

from entrepot.access import rights
from entrepot.access.conditions import Context
from entrepot.access.permissions import PLACED
from entrepot.access.places import REGISTRY
from entrepot.access.rights import NO_RIGHTS, Rights
from entrepot.actions import accounts
from entrepot.app import App
from entrepot.errors import Denied
from entrepot.identity import groups
from entrepot.identity.groups import Group
from entrepot.identity.users import User
from entrepot.principal import Origin, Principal


async def require_administrator(app: App, principal: Principal, origin: Origin, what: str) -> None:
    """Raises Denied unless the caller may do everything, with credentials that are not limited."""
    if not await _has_all_of(app, principal, origin, NO_RIGHTS, administrator=True):
        raise Denied(f"{what} is for an administrator, with credentials that are not limited")


async def require_no_less_than_user(app: App, principal: Principal, origin: Origin, user: User, what: str) -> None:
    """Raises Denied unless the caller has every right that the user has."""
    held = await app.database.read(_rights_of_user, user)
    if not await _has_all_of(app, principal, origin, held, administrator=user.administrator):
        raise Denied(
            f"{what} is for who may all that {user.key} may, with credentials that are not limited: "
            "ask an administrator"
        )


async def require_no_less_than_group(app: App, principal: Principal, origin: Origin, group: Group, what: str) -> None:
    """Raises Denied unless the caller has every right that members of the group get by it."""
    held = await app.database.read(_rights_of_group, group)
    if not await _has_all_of(app, principal, origin, held, administrator=False):
        raise Denied(
            f"{what} is for who may all that the group {group.key} may, with credentials that are not limited: "
            "ask an administrator"
        )


async def _has_all_of(app: App, principal: Principal, origin: Origin, wanted: Rights, *, administrator: bool) -> bool:
    if principal.limits is not None or principal.scopes is not None:
        return False
    caller = await accounts.find(app, principal)
    if caller is None or not caller.usable:
        return False
    if caller.administrator:
        return True
    own, context = await accounts.rights_of(app, caller), Context(principal, origin, app.clock())
    return not administrator and all(
        own.throughout(permission, right.place, context)
        for right in wanted
        for permission in right.role.permissions
        # What is only to be had for the whole registry is worth nothing elsewhere.
        if permission in PLACED or right.place.kind == REGISTRY
    )


def _rights_of_user(connection: Connection, user: User) -> Rights:
    return rights.load(connection, user.id, groups.of_user(connection, user.id))


def _rights_of_group(connection: Connection, group: Group) -> Rights:
    return rights.of_group(connection, group.id)
