"""What somebody may hand out: nobody gives, or gets, more than they have themselves (`access/reach.py`).

To hand out an identity is to hand out its rights: the permission to change users, or to make tokens, would otherwise be
the permission to become any of them. Asked in the transaction that does it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from entrepot.access import conditions, reach, rights
from entrepot.access.conditions import Context
from entrepot.access.permissions import GRANTABLE, Permission
from entrepot.access.places import REGISTRY, Place
from entrepot.access.reach import Holder, Lack, Wanted
from entrepot.access.rights import NO_RIGHTS
from entrepot.actions import accounts
from entrepot.app import App
from entrepot.errors import Denied
from entrepot.identity import groups, users
from entrepot.identity.groups import Group
from entrepot.identity.users import User
from entrepot.principal import CONSOLE, Caller, Limit, Principal

SHOWN_MAX = 20
"""How much of what is lacking a refusal lists."""
_REGISTRY = Place(REGISTRY, "")


@dataclass(frozen=True, slots=True)
class Standing:
    """Who hands out something, as they are in this transaction."""

    user: User
    holder: Holder

    @property
    def principal(self) -> Principal:
        return self.holder.context.caller.principal

    def may(self, permission: Permission) -> bool:
        """Whether they have the permission on the whole registry now."""
        held = self.holder.rights.throughout(permission, _REGISTRY, self.holder.context)
        return self.holder.administrator or bool(held)


async def context(app: App, caller: Caller) -> Context:
    """The caller's request, with the conditions of their grants evaluated: to be awaited before the transaction."""
    asked = Context(caller, app.clock())
    held = await accounts.rights_of(app, await accounts.find(app, caller.principal))
    for right in held:
        if right.condition is not None:
            conditions.holds(right.condition, asked)
    return replace(asked, decided=True)


def of(connection: Connection, asked: Context) -> Standing:
    """What the caller has now, in the transaction. Raises Denied when the account cannot be used any more."""
    user = _user(connection, asked)
    return Standing(user, _holder(connection, asked, user))


def holder(connection: Connection, asked: Context) -> Holder:
    """As `of`, also for who works on the data directory itself, and has everything."""
    if asked.caller.principal.credential == CONSOLE:
        return Holder(NO_RIGHTS, administrator=True, context=asked)
    return _holder(connection, asked, _user(connection, asked))


def rights_of(
    connection: Connection, user: User, *, limits: tuple[Limit, ...] | None = None, until_ms: int | None = None
) -> list[Wanted]:
    """All that who signs in as the user can do: the account's rights, if this is another login of one."""
    account = users.account(connection, user)
    if account.administrator:
        return reach.everything(limits=limits, until_ms=until_ms)
    return reach.wanted_of(_rights(connection, account), limits=limits, until_ms=until_ms)


def own_rights_of(connection: Connection, user: User) -> list[Wanted]:
    """What the user has, or would have if it were not linked: its grants, and its groups."""
    if user.administrator:
        return reach.everything()
    return reach.wanted_of(_rights(connection, user))


def rights_of_group(connection: Connection, group: Group) -> list[Wanted]:
    return reach.wanted_of(rights.of_group(connection, group.id))


def is_administrator(connection: Connection, user: User) -> bool:
    """Whether the account behind has everything, or had it if a condition held: by the flag or by a role."""
    account = users.account(connection, user)
    if account.administrator:
        return True
    return any(
        right.place.kind == REGISTRY and right.role.permissions >= GRANTABLE for right in _rights(connection, account)
    )


def require(standing: Standing, wanted: Iterable[Wanted], what: str) -> None:
    """Raises Denied, which says what the caller lacks, unless they have all of it."""
    principal = standing.principal
    if principal.limits is not None or principal.scopes is not None:
        raise Denied(f"{what} needs unlimited credentials, and your token is limited")
    found = reach.lacking(standing.holder, wanted)
    if found:
        raise Denied(
            f"{what} gives permissions that you do not have yourself: {_listed(standing, found)}. Ask an administrator",
            {"lacking": [_shown(standing, lack) for lack in found[:SHOWN_MAX]]},
        )


def require_no_longer(
    standing: Standing, permission: Permission, place: Place, expires_at_ms: int | None, what: str
) -> None:
    """Raises Denied when what is made would outlive the right by which it is made."""
    end = reach.outlives(standing.holder, permission, place, expires_at_ms)
    if end is not None:
        raise Denied(
            f"{what} is possible only until {reach.time_text(end)}, when your own permission to do so ends",
            {"expires_at_most": reach.time_text(end)},
        )


def require_administrator(standing: Standing, what: str) -> None:
    """Raises Denied unless the caller is an administrator for good, with credentials that are not limited."""
    principal = standing.principal
    if principal.limits is not None or principal.scopes is not None or not standing.holder.administrator:
        raise Denied(f"{what} needs an administrator with unlimited credentials")


def require_as_much_as(connection: Connection, standing: Standing, user: User, what: str) -> None:
    """For what is done to an administrator: by one. Raises Denied."""
    if users.account(connection, user).administrator:
        require_administrator(standing, what)
    elif is_administrator(connection, user):
        require(standing, reach.EVERYTHING, what)


def _user(connection: Connection, asked: Context) -> User:
    user = users.get(connection, asked.caller.principal.user_id or 0)
    if user is None or not user.usable:
        raise Denied("your account can no longer be used")
    return user


def _holder(connection: Connection, asked: Context, user: User) -> Holder:
    held = rights.load(connection, user.id, groups.of_user(connection, user.id))
    return Holder(held, user.administrator, asked)


def _rights(connection: Connection, user: User) -> rights.Rights:
    return rights.load(connection, user.id, groups.of_user(connection, user.id))


def _shown(standing: Standing, lack: Lack) -> str:
    """Without the name of a place of others: what a target has there tells nobody else that it exists."""
    holder, path = standing.holder, lack.place.anchor
    sees = holder.administrator or lack.place == _REGISTRY
    if sees or (path is not None and holder.rights.roles_at(path, holder.context)):
        return f"{lack} in {lack.place}"
    return f"{lack} in a place that you may not see"


def _listed(standing: Standing, found: Sequence[Lack]) -> str:
    texts = [_shown(standing, lack) for lack in found[:3]]
    return ", ".join(texts) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
