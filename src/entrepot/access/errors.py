"""What can be wrong with grants, roles and conditions."""

from entrepot.errors import Conflict, Invalid, NotFound


class RoleUnknown(NotFound):
    code = "role_unknown"


class RoleInvalid(Invalid):
    code = "role_invalid"


class RoleInUse(Conflict):
    code = "role_in_use"


class GrantUnknown(NotFound):
    code = "grant_unknown"


class GrantInvalid(Invalid):
    code = "grant_invalid"


class ConditionInvalid(Invalid):
    code = "condition_invalid"


class LimitInvalid(Invalid):
    """What a token is to be limited to cannot be."""

    code = "limit_invalid"
