"""May X do Y? Pure: the facts come from whoever asks."""

from entrepot.access.permissions import Permission
from entrepot.principal import Principal, Scope


def allowed(permission: Permission, *, signed_in: bool, administrator: bool, public: bool) -> bool:
    """Whether a user may, by what the user is and what the repository is."""
    if permission is Permission.PUBLIC or administrator:
        return True
    if permission is Permission.REGISTRY_PING:
        return signed_in
    return permission is Permission.REPOSITORY_PULL and public


def within_scopes(principal: Principal, permission: Permission, repository: str | None) -> bool:
    """Whether the credentials themselves reach that far; those without scopes reach as far as the user."""
    if principal.scopes is None or permission in {Permission.PUBLIC, Permission.REGISTRY_PING}:
        return True
    return any(_covers(scope, permission, repository) for scope in principal.scopes)


def _covers(scope: Scope, permission: Permission, repository: str | None) -> bool:
    if permission is Permission.REGISTRY_CATALOG:
        return scope.type == "registry" and scope.name == "catalog"
    return (
        scope.type == "repository"
        and scope.name == repository
        and (permission.action in scope.actions or "*" in scope.actions)
    )
