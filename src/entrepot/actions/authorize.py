"""May this principal do this here? Joins what is known of the user with what holds for the repository."""

from entrepot.access.decide import allowed, within_scopes
from entrepot.access.permissions import Permission
from entrepot.app import App
from entrepot.identity import users
from entrepot.identity.users import User
from entrepot.namespaces import namespaces
from entrepot.oci.name import RepositoryName
from entrepot.principal import Principal

_NOBODY = "nobody"


async def may(app: App, principal: Principal, permission: Permission, repository: RepositoryName | None) -> bool:
    """Whether the user may, and the credentials reach that far."""
    return within_scopes(principal, permission, repository) and await user_may(app, principal, permission, repository)


async def user_may(app: App, principal: Principal, permission: Permission, repository: RepositoryName | None) -> bool:
    """Whether the user may, whatever the credentials of this request are limited to."""
    user = None if principal.is_anonymous else await find_user(app, principal.provider, principal.name)
    administrator = user is not None and user.administrator
    public = False
    if repository is not None and permission is Permission.REPOSITORY_PULL and not administrator:
        public = await is_public(app, repository)
    return allowed(permission, signed_in=user is not None, administrator=administrator, public=public)


async def find_user(app: App, provider: str, name: str) -> User | None:
    known: User | str | None = app.cache.get(users.TOPIC, (provider, name))
    if known is not None:
        return known if isinstance(known, User) else None
    stamp = app.cache.stamp()
    user = await app.database.look_up(users.find, provider, name)
    app.cache.put(stamp, users.TOPIC, (provider, name), user or _NOBODY, 500)
    return user


async def is_public(app: App, repository: RepositoryName) -> bool:
    known: bool | None = app.cache.get(namespaces.TOPIC, repository)
    if known is None:
        stamp = app.cache.stamp()
        known = await app.database.look_up(namespaces.is_public, repository)
        app.cache.put(stamp, namespaces.TOPIC, repository, known, 300)
    return known
