"""What can be wrong with grants, roles and conditions."""

from entrepot.errors import Conflict, Invalid, NotFound


class RoleUnknown(NotFound):
    pass


class RoleInvalid(Invalid):
    pass


class RoleInUse(Conflict):
    pass


class GrantUnknown(NotFound):
    pass


class GrantInvalid(Invalid):
    pass


class ConditionInvalid(Invalid):
    pass


class LimitInvalid(Invalid):
    """What a token is to be limited to cannot be."""
