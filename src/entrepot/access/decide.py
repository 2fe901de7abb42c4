"""How far credentials reach, whatever their owner may do. Pure."""

from entrepot.access.permissions import PLACED, UNGRANTED, Permission
from entrepot.access.places import REGISTRY, Place
from entrepot.principal import Limit, Principal, Scope


def within_credentials(principal: Principal, permission: Permission, path: str | None) -> bool:
    """Whether a bearer token's scopes and a stored token's limits reach what is at this path."""
    return within_scopes(principal, permission, path) and within_limits(principal, permission, path)


def within_scopes(principal: Principal, permission: Permission, path: str | None) -> bool:
    """Whether the scopes of a bearer token reach that far; credentials without scopes reach as far as the user."""
    if principal.scopes is None or permission in {Permission.PUBLIC, Permission.SIGNED_IN}:
        return True
    return any(_covers(scope, permission, path) for scope in principal.scopes)


def within_limits(principal: Principal, permission: Permission, path: str | None) -> bool:
    """Whether the limits of the stored token reach that far, if one was used that has limits."""
    if principal.limits is None or permission in UNGRANTED - {Permission.OWN_ACCOUNT}:
        return True
    place = path if permission in PLACED else None
    return any(_reaches(limit, permission, place) for limit in principal.limits)


def within_limits_throughout(principal: Principal, permission: Permission, place: Place) -> bool:
    """Whether the limits of the stored token, if there are any, include all of a place."""
    if permission not in PLACED:
        place = Place(REGISTRY, "")
    return principal.limits is None or any(
        _names(limit, permission) and Place(limit.kind, limit.scope).includes(place) for limit in principal.limits
    )


def _reaches(limit: Limit, permission: Permission, path: str | None) -> bool:
    return _names(limit, permission) and Place(limit.kind, limit.scope).covers(path)


def _names(limit: Limit, permission: Permission) -> bool:
    named = permission.value in limit.permissions or "*" in limit.permissions
    return named and permission is not Permission.OWN_ACCOUNT


def _covers(scope: Scope, permission: Permission, path: str | None) -> bool:
    if permission is Permission.REGISTRY_CATALOG:
        return scope.type == "registry" and scope.name == "catalog"
    return (
        scope.type == "repository"
        and scope.name == path
        and permission.value.startswith("repository:")
        and (permission.action in scope.actions or "*" in scope.actions)
    )
