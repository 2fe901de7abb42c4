"""How far credentials reach, whatever their owner may do. Pure."""

from entrepot.access.permissions import PLACED, REPOSITORY_PERMISSIONS, UNGRANTED, Permission
from entrepot.access.places import REGISTRY, Place
from entrepot.principal import Fingerprints, Limit, Principal

_WITHOUT_SCOPE = frozenset({Permission.PUBLIC, Permission.SIGNED_IN, Permission.API_DOCUMENT})
_ACTIONS = {permission: permission.action for permission in REPOSITORY_PERMISSIONS}
"""What the Docker token protocol calls them."""


def within_scopes(principal: Principal, permission: Permission, path: str | None) -> bool:
    """Whether the scopes of a bearer token reach that far; credentials without scopes reach as far as the user."""
    if principal.scopes is None or permission in _WITHOUT_SCOPE:
        return True
    action = _ACTIONS.get(permission)
    for scope in principal.scopes:
        if isinstance(scope, Fingerprints):
            if path is not None and action in scope.actions and path in scope:
                return True
        elif scope.type == "repository":
            if scope.name == path and action is not None and (action in scope.actions or "*" in scope.actions):
                return True
        elif permission is Permission.REGISTRY_CATALOG and scope.type == "registry" and scope.name == "catalog":
            return True
    return False


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
        _names(limit, permission) and Place(limit.kind, limit.path).includes(place) for limit in principal.limits
    )


def _reaches(limit: Limit, permission: Permission, path: str | None) -> bool:
    return _names(limit, permission) and Place(limit.kind, limit.path).covers(path)


def _names(limit: Limit, permission: Permission) -> bool:
    named = permission.value in limit.permissions or "*" in limit.permissions
    return named and permission is not Permission.OWN_ACCOUNT
