"""What a database can fail with, as kinds."""

from sqlalchemy.exc import DBAPIError

from entrepot.errors import StorageFull, Unavailable

UNAVAILABLE = "the registry's database has an error: try again later, or ask the operator"
_FULL = ("database or disk is full", "no space left", "could not extend file")


class DatabaseUnavailable(Unavailable):
    code = "database_unavailable"


class DatabaseHasNoSpace(StorageFull):
    code = "database_has_no_space"


def classify(error: DBAPIError) -> Unavailable:
    """The kind of an error that is not the statement's fault."""
    if any(sign in str(error.orig).lower() for sign in _FULL):
        return DatabaseHasNoSpace("the registry's database is full: ask the operator to add space")
    return DatabaseUnavailable(UNAVAILABLE)
