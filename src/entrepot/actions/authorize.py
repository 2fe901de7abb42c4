"""May this principal do this here? Joins what is known of the user with what holds for the place."""

from entrepot.access import decide, roles
from entrepot.access.conditions import Context
from entrepot.access.permissions import PLACED, REPOSITORY_PERMISSIONS, Permission
from entrepot.access.places import Place
from entrepot.access.rights import Visible
from entrepot.actions import accounts
from entrepot.app import App
from entrepot.content.repositories import Reader
from entrepot.database import topics
from entrepot.errors import Denied
from entrepot.namespaces import namespaces
from entrepot.oci.name import RepositoryName
from entrepot.principal import Limit, Origin, Principal

_ANY_SIGNED_IN = frozenset(
    {Permission.SIGNED_IN, Permission.REGISTRY_CATALOG, Permission.OWN_ACCOUNT, Permission.API_DOCUMENT}
)
_VISIBILITY_BYTES = 300
"""What remembering one costs, roughly."""


async def may(app: App, principal: Principal, origin: Origin, permission: Permission, path: str | None) -> bool:
    """Whether the user may, and the credentials reach that far. `path` is a repository's or a namespace's, or None."""
    if permission in app.public_permissions:
        return True
    return decide.within_scopes(principal, permission, path) and await user_may(
        app, principal, origin, permission, path
    )


async def user_may(app: App, principal: Principal, origin: Origin, permission: Permission, path: str | None) -> bool:
    """Whether the user may with the token that was used, whatever a bearer token's scopes are."""
    if permission in app.public_permissions:
        return True
    if not decide.within_limits(principal, permission, path):
        return False
    user = await accounts.find(app, principal)
    if user is not None and not user.usable:
        return False
    if user is not None and user.administrator:
        return True
    if permission in _ANY_SIGNED_IN:
        return user is not None
    rights = await accounts.rights_of(app, user)
    if rights.allows(permission, path, Context(principal, origin, app.clock())):
        return True
    return permission is Permission.REPOSITORY_PULL and path is not None and await is_public(app, path)


async def may_throughout(app: App, principal: Principal, origin: Origin, permission: Permission, place: Place) -> bool:
    """Whether the principal may in all of a place, whatever there will be: a namespace with all that is below it."""
    if not decide.within_scopes(principal, permission, place.anchor):
        return False
    if not decide.within_limits_throughout(principal, permission, place):
        return False
    user = await accounts.find(app, principal)
    if user is not None and (user.administrator or not user.usable):
        return user.usable
    rights = await accounts.rights_of(app, user)
    return bool(rights.throughout(permission, place, Context(principal, origin, app.clock())))


async def refusal(app: App, principal: Principal, origin: Origin, permission: Permission, path: str | None) -> Denied:
    """Why not, in words that say what is missing; the same for what exists and for what does not."""
    where = f"in {path}" if path is not None and permission in PLACED else "in this registry"
    if not decide.within_limits(principal, permission, path):
        return Denied(
            f"the token that you use is limited, and does not reach {permission.value} {where}",
            {"permission": permission.value},
        )
    rights = await accounts.rights_of(app, await accounts.find(app, principal))
    held = rights.roles_at(path, Context(principal, origin, app.clock()))
    needed = roles.having(permission)
    message = f"{permission.value} {where} needs the role {' or '.join(needed) or roles.ADMINISTRATOR}"
    message += f"; you have {', '.join(held)}" if held else "; you have no role there"
    message += ": ask an owner" if permission in PLACED else ": ask an administrator"
    return Denied(message, {"permission": permission.value, "roles_needed": needed, "roles_held": held})


def refusal_throughout(permission: Permission, place: Place) -> Denied:
    """To those who may at the place's own path, and not in all that belongs to it."""
    needed = roles.having(permission)
    message = f"{permission.value} in all of {place} needs the role {' or '.join(needed)} for that, or for more: ask "
    message += "an owner" if place.anchor is not None else "an administrator"
    return Denied(message, {"permission": permission.value, "roles_needed": needed})


async def reader(
    app: App, principal: Principal, origin: Origin, permission: Permission = Permission.REPOSITORY_PULL
) -> Reader:
    """What this principal may pull, as lists want it; or where it has another permission."""
    limits = None if principal.limits is None else _visible_by_limits(principal.limits, permission)
    user = await accounts.find(app, principal)
    if user is not None and not user.usable:
        return Reader(Visible(everything=False), Visible(everything=False))
    if user is not None and user.administrator:
        return Reader(Visible(everything=True), limits)
    rights = await accounts.rights_of(app, user)
    context = Context(principal, origin, app.clock())
    return Reader(rights.visible(permission, context), limits)


async def is_public(app: App, repository: str) -> bool:
    return await app.caches.accounts.remember(
        topics.NAMESPACES,
        repository,
        lambda: app.database.look_up(namespaces.is_public, RepositoryName(repository)),
        _VISIBILITY_BYTES,
    )


def place_resource(place: Place) -> str:
    """How the audit log calls a place."""
    return f"{place.kind}:{place.path}" if place.path else "registry"


def resource(permission: Permission, path: str | None) -> str:
    """How the audit log calls what a permission was asked for."""
    if permission not in PLACED or path is None:
        return "registry"
    return f"{'repository' if permission in REPOSITORY_PERMISSIONS else 'namespace'}:{path}"


def _visible_by_limits(limits: tuple[Limit, ...], permission: Permission) -> Visible:
    reaching = [limit for limit in limits if {"*", permission.value} & limit.permissions]
    by_kind = {
        kind: tuple(limit.scope for limit in reaching if limit.kind == kind)
        for kind in ("registry", "namespace", "repository", "pattern")
    }
    return Visible(bool(by_kind["registry"]), by_kind["namespace"], by_kind["repository"], by_kind["pattern"])
