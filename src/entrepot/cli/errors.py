"""Errors of the command itself, and the exit status of every kind of error."""

from collections.abc import Mapping

from entrepot.errors import Conflict, Denied, EntrepotError, Invalid, NotFound, Unauthenticated, Unavailable


class NotSignedIn(Unauthenticated):
    code = "not_signed_in"


class NotReachable(Unavailable):
    """The registry does not respond, or it is not an Entrepot registry."""

    code = "not_reachable"


class Changed(Conflict):
    """Somebody else has changed the resource in the meantime."""

    code = "changed"


class CredentialsUnreadable(Invalid):
    code = "credentials_unreadable"


FAILED = 1
STATUSES: Mapping[type[EntrepotError], int] = {
    # 2 is a command line that is wrong.
    Unauthenticated: 3,
    Denied: 4,
    NotFound: 5,
    Conflict: 6,
    NotReachable: 7,
}


def status_of(error: EntrepotError) -> int:
    """The exit status of an error; its most specific kind decides."""
    return next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), FAILED)
