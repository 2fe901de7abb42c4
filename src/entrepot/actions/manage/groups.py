"""Making, changing and removing groups, and who is in the registry's own."""

from collections.abc import Callable

from sqlalchemy import Connection

from entrepot.actions import acts
from entrepot.actions.manage import standing
from entrepot.app import App
from entrepot.audit.actions import Action
from entrepot.audit.record import Act
from entrepot.errors import Conflict
from entrepot.identity import groups, users
from entrepot.identity.errors import ProviderUnknown, UserUnknown
from entrepot.identity.groups import Group
from entrepot.identity.users import LOCAL
from entrepot.principal import Caller

Expect = Callable[[Group | None], None]
"""Called in the transaction with what is there before; raises if the change was meant for something else."""


async def put(
    app: App, caller: Caller, provider: str, name: str, description: str, expect: Expect
) -> tuple[Group, bool]:
    """Make the group, or describe it; answers whether it is new. Raises ProviderUnknown, Invalid."""
    if provider not in {LOCAL, *(known.name for known in app.settings.providers)}:
        raise ProviderUnknown(f"there is no provider {provider[:64]}")

    def run(connection: Connection) -> tuple[tuple[Group, bool], list[Act]]:
        before = groups.find(connection, provider, name)
        expect(before)
        if before is not None and before.description == description:
            return (before, False), []
        if before is None:
            group = groups.add(connection, provider, name, description, app.clock())
        else:
            groups.describe(connection, before, description)
            group = groups.require(connection, provider, name)
        return (group, before is None), [Act(Action.GROUP_PUT, f"group:{group.key}", detail={"new": before is None})]

    return await acts.change_as(app, caller, run)


async def remove(app: App, caller: Caller, provider: str, name: str, expect: Expect) -> None:
    """Take the group away with its grants. One of another provider comes back, without them, with its members' logins.

    Raises GroupUnknown.
    """

    def run(connection: Connection) -> None:
        group = groups.require(connection, provider, name)
        expect(group)
        groups.remove(connection, group)

    await acts.change(app, caller, Act(Action.GROUP_DELETE, f"group:{provider}:{name}"), run)


async def add_member(app: App, caller: Caller, name: str, provider: str, user_name: str) -> None:
    """Raises GroupUnknown, UserUnknown, Denied, and Conflict for a login of another account."""
    asked = await standing.context(app, caller)

    def run(connection: Connection) -> tuple[None, list[Act]]:
        current = groups.require(connection, LOCAL, name)
        wanted = standing.rights_of_group(connection, current)
        standing.require(standing.of(connection, asked), wanted, f"adding to {current.key}")
        user = users.require(connection, provider, user_name)
        if user.linked_to is not None:
            raise Conflict(f"{user.key} is linked to {users.account(connection, user).key}: add that user instead")
        added = groups.add_member(connection, current, user)
        return None, [Act(Action.GROUP_ADD_MEMBER, f"group:{current.key}", detail={"user": user.key})] if added else []

    doing = acts.change_as(app, caller, run)
    await acts.or_refuse(app, caller, Action.GROUP_ADD_MEMBER, f"group:{LOCAL}:{name}", doing)


async def remove_member(app: App, caller: Caller, name: str, provider: str, user_name: str) -> None:
    """Raises GroupUnknown, UserUnknown."""

    def run(connection: Connection) -> None:
        group = groups.require(connection, LOCAL, name)
        user = users.require(connection, provider, user_name)
        if not groups.remove_member(connection, group, user):
            raise UserUnknown(f"{user.key} is not a member of {group.key}")

    detail = {"user": f"{provider}:{user_name}"}
    await acts.change(app, caller, Act(Action.GROUP_REMOVE_MEMBER, f"group:{LOCAL}:{name}", detail=detail), run)
