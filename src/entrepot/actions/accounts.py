"""The user behind a principal, and the user's rights: remembered until something about them changes."""

from sqlalchemy import Connection

from entrepot.access import rights
from entrepot.access.rights import Rights
from entrepot.app import App
from entrepot.database import topics
from entrepot.identity import groups, users
from entrepot.identity.users import User
from entrepot.principal import Credential, Limit, Principal

_USER_BYTES, _RIGHT_BYTES = 700, 300
"""What remembering one costs, roughly."""


async def find(app: App, principal: Principal) -> User | None:
    """The principal's user; None for anonymous, and for one that is not there any more."""
    # Never by name: that may be somebody else's meanwhile.
    return None if principal.user_id is None else await by_id(app, principal.user_id)


def principal(user: User, credential: Credential, limits: tuple[Limit, ...] | None = None) -> Principal:
    """Who the user is, having shown this."""
    return Principal(user.provider, user.name, credential=credential, limits=limits, user_id=user.id, epoch=user.epoch)


async def by_id(app: App, user_id: int) -> User | None:
    """A user by its number, which never becomes another user's, as a name may."""
    return await app.caches.accounts.remember(
        topics.USERS, ("id", user_id), lambda: app.database.look_up(users.get, user_id), _USER_BYTES
    )


async def owner_key(app: App, principal: Principal) -> str | None:
    """Who answers for a robot, None for anybody else."""
    if principal.provider != users.ROBOT:
        return None
    user = await find(app, principal)
    if user is None or user.owner_id is None:
        return None
    owner = await by_id(app, user.owner_id)
    return owner.key if owner is not None else None


async def rights_of(app: App, user: User | None) -> Rights:
    """The rights of a user, or of anybody."""
    key = user.id if user is not None else None
    return await app.caches.accounts.remember(
        topics.ACCESS,
        key,
        lambda: app.database.look_up(_load, key),
        lambda found: _USER_BYTES + found.count * _RIGHT_BYTES,
    )


def _load(connection: Connection, user_id: int | None) -> Rights:
    of_user = groups.of_user(connection, user_id) if user_id is not None else {}
    return rights.load(connection, user_id, of_user)
