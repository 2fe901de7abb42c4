"""The one decision: may this caller do this there, and why? Pure.

Whatever lets somebody do something, refuses it or explains it reads a `Decision`; what lists show is `visible` of the
same rights.
"""

from enum import Enum
from typing import NamedTuple, Protocol

from entrepot.access import credentials
from entrepot.access.conditions import Context
from entrepot.access.permissions import SIGNED_IN_PERMISSIONS, Permission
from entrepot.access.places import Place
from entrepot.access.rights import Considered, Right, Rights

Where = str | Place | None
"""What is asked about: what is at a path, all that is in a place, or the registry itself."""


class Account(Protocol):
    """What a decision wants to know of a user."""

    @property
    def administrator(self) -> bool: ...

    @property
    def usable(self) -> bool: ...


class Why(Enum):
    """What decides about the user, whatever the credentials reach. The first five allow it."""

    EVERYBODY = "everyone may do this"
    SIGNED_IN = "everyone who is signed in may do this"
    ADMINISTRATOR = "an administrator may do everything"
    GRANT = "a grant allows it"
    PUBLIC = "the repository is public"
    ACCOUNT = "the account is disabled or gone"
    NOTHING = "no grant allows it"


class Beyond(Enum):
    """Which of the credentials' restrictions does not reach that far."""

    SCOPES = "those of a bearer token"
    LIMITS = "those of a stored token"


class Asked(NamedTuple):
    """May the caller that the context is about do this there?"""

    permission: Permission
    where: Where
    context: Context

    @property
    def path(self) -> str | None:
        """The path that it is about; None for the registry."""
        return self.where.anchor if isinstance(self.where, Place) else self.where


class Decision(NamedTuple):
    """The answer. `by` is the grant that allows it, `beyond` how the credentials reach less far than the user may."""

    asked: Asked
    account: Account | None
    rights: Rights
    allowed: bool
    why: Why
    by: Right | None = None
    beyond: Beyond | None = None

    @property
    def considered(self) -> list[Considered]:
        """Every grant that the user has in some way, and what keeps it from allowing this."""
        return self.rights.explain(self.asked.permission, self.asked.path, self.asked.context)

    @property
    def roles_held(self) -> list[str]:
        """The names of the roles that the user has there, now."""
        return self.rights.roles_at(self.asked.path, self.asked.context)


def decide(
    asked: Asked,
    account: Account | None,
    rights: Rights,
    *,
    everybody: frozenset[Permission],
    public: bool = False,
) -> Decision:
    """`everybody` is what needs no grant at all; `public`: anybody may pull what is at the path."""
    if asked.permission in everybody:
        return Decision(asked, account, rights, True, Why.EVERYBODY)
    by = None
    if account is not None and not account.usable:
        why, allowed = Why.ACCOUNT, False
    elif account is not None and account.administrator:
        why, allowed = Why.ADMINISTRATOR, True
    elif asked.permission in SIGNED_IN_PERMISSIONS:
        allowed = account is not None
        why = Why.SIGNED_IN if allowed else Why.NOTHING
    elif (by := _grant(asked, rights)) is not None:
        why, allowed = Why.GRANT, True
    elif public and asked.permission is Permission.REPOSITORY_PULL:
        why, allowed = Why.PUBLIC, True
    else:
        why, allowed = Why.NOTHING, False
    beyond = _beyond(asked)
    return Decision(asked, account, rights, allowed and beyond is None, why, by, beyond)


def depends_on_grants(permission: Permission, account: Account | None) -> bool:
    """Whether the user's rights have to be known to decide."""
    known = account is not None and (account.administrator or not account.usable)
    return not known and permission not in SIGNED_IN_PERMISSIONS


def _grant(asked: Asked, rights: Rights) -> Right | None:
    if isinstance(asked.where, Place):
        return next(iter(rights.throughout(asked.permission, asked.where, asked.context)), None)
    return next(rights.allowing(asked.permission, asked.where, asked.context), None)


def _beyond(asked: Asked) -> Beyond | None:
    principal = asked.context.caller.principal
    if principal.limits is not None:
        if isinstance(asked.where, Place):
            within = credentials.within_limits_throughout(principal, asked.permission, asked.where)
        else:
            within = credentials.within_limits(principal, asked.permission, asked.where)
        if not within:
            return Beyond.LIMITS
    if principal.scopes is not None and not credentials.within_scopes(principal, asked.permission, asked.path):
        return Beyond.SCOPES
    return None
