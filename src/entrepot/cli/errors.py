"""What can be wrong with a command beside what the registry says, and the exit statuses of all of it."""

from collections.abc import Mapping

from entrepot.errors import Conflict, Denied, EntrepotError, Invalid, NotFound, Unauthenticated, Unavailable


class NotSignedIn(Unauthenticated):
    code = "not_signed_in"


class NotReachable(Unavailable):
    """Nobody answers, or somebody who is no Entrepot."""

    code = "not_reachable"


class Changed(Conflict):
    """Somebody else has changed it meanwhile."""

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
    """The most particular of its kinds decides."""
    return next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), FAILED)
