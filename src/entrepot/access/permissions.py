"""What can be permitted. Every route names one, or PUBLIC."""

from enum import Enum


class Permission(Enum):
    """`kind:action`; for a repository's permissions, the action is the one of the Docker token protocol."""

    PUBLIC = "public"
    """Everybody, signed in or not."""
    SIGNED_IN = "registry:ping"
    """Everybody who is signed in."""
    REGISTRY_CATALOG = "registry:catalog"
    """Everybody who is signed in; the list has what each may pull."""
    OWN_ACCOUNT = "account:own"
    """Everybody who is signed in, about the own account, with credentials that are not limited."""
    API_DOCUMENT = "api:document"
    """Everybody who is signed in, or everybody: a setting says it."""

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
    """Or everybody: a setting says it."""

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
"""Not a matter of grants."""
SIGNED_IN_PERMISSIONS = UNGRANTED - {Permission.PUBLIC}
"""What everybody has who is signed in."""

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
"""Can be had for a namespace or a repository; all others only for the whole registry."""

GRANTABLE = frozenset(Permission) - UNGRANTED

FOR_EVERYONE = frozenset({Permission.REPOSITORY_PULL, Permission.NAMESPACE_READ})
"""What those who have not signed in can have, whatever a role that is granted to everyone says."""
