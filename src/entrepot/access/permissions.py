"""What can be permitted. Every route names one, or PUBLIC."""

from enum import Enum


class Permission(Enum):
    """`scope:action`; for a repository's permissions, the action is the one of the Docker token protocol."""

    PUBLIC = "public"
    REGISTRY_PING = "registry:ping"
    REGISTRY_CATALOG = "registry:catalog"
    REPOSITORY_PULL = "repository:pull"
    REPOSITORY_PUSH = "repository:push"
    REPOSITORY_DELETE = "repository:delete"

    @property
    def action(self) -> str:
        return self.value.partition(":")[2]


REPOSITORY_PERMISSIONS = (Permission.REPOSITORY_PULL, Permission.REPOSITORY_PUSH, Permission.REPOSITORY_DELETE)
