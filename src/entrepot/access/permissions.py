"""What can be permitted. Every route names one, or PUBLIC."""

from enum import Enum


class Permission(Enum):
    """`kind:action`; for a repository's permissions, the action is the one of the Docker token protocol."""

    PUBLIC = "public"
    """Everyone, signed in or not."""
    SIGNED_IN = "registry:ping"
    """Everyone who is signed in."""
    REGISTRY_CATALOG = "registry:catalog"
    """Everyone who is signed in. The list contains what the caller may pull."""
    OWN_ACCOUNT = "account:own"
    """Everyone who is signed in, for their own account, with unlimited credentials."""
    API_DOCUMENT = "api:document"
    """Everyone who is signed in or, if a setting says so, everyone."""

    REPOSITORY_PULL = "repository:pull"
    REPOSITORY_PUSH = "repository:push"
    REPOSITORY_DELETE = "repository:delete"
    NAMESPACE_READ = "namespace:read"
    NAMESPACE_WRITE = "namespace:write"
    GRANT_READ = "grant:read"
    GRANT_WRITE = "grant:write"
    ROBOT_READ = "robot:read"
    ROBOT_WRITE = "robot:write"
    AUDIT_READ = "audit:read"

    USER_READ = "user:read"
    USER_WRITE = "user:write"
    GROUP_READ = "group:read"
    GROUP_WRITE = "group:write"
    ROLE_READ = "role:read"
    ROLE_WRITE = "role:write"
    PROVIDER_READ = "provider:read"
    TRUST_WRITE = "trust:write"
    ACCESS_EXPLAIN = "access:explain"
    METRICS_READ = "metrics:read"
    """Also for everyone, if a setting says so."""

    # By identity: the library's own is written in Python, and a pull asks it eight times.
    __hash__ = object.__hash__

    @property
    def action(self) -> str:
        return self.value.partition(":")[2]


REPOSITORY_PERMISSIONS = (Permission.REPOSITORY_PULL, Permission.REPOSITORY_PUSH, Permission.REPOSITORY_DELETE)

UNGRANTED = frozenset(
    {
        Permission.PUBLIC,
        Permission.SIGNED_IN,
        Permission.REGISTRY_CATALOG,
        Permission.OWN_ACCOUNT,
        Permission.API_DOCUMENT,
    }
)
"""Permissions that do not come from grants."""
SIGNED_IN_PERMISSIONS = UNGRANTED - {Permission.PUBLIC}
"""The permissions of everyone who is signed in."""

PLACED = frozenset(
    {
        *REPOSITORY_PERMISSIONS,
        Permission.NAMESPACE_READ,
        Permission.NAMESPACE_WRITE,
        Permission.GRANT_READ,
        Permission.GRANT_WRITE,
        Permission.ROBOT_READ,
        Permission.ROBOT_WRITE,
        Permission.AUDIT_READ,
    }
)
"""Permissions that can be granted for a namespace or a repository. All others are for the whole registry."""

GRANTABLE = frozenset(Permission) - UNGRANTED

FOR_EVERYONE = frozenset({Permission.REPOSITORY_PULL, Permission.NAMESPACE_READ})
"""The most that anonymous users can get, whatever role is granted to everyone."""
