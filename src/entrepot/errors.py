"""The closed set of error kinds. A domain subclasses a kind; each face (HTTP, CLI) maps kinds to its own codes.

EntrepotError
├── Invalid              the request can never succeed as it stands
├── Unauthenticated      who asks is unknown, or the proof of it is wrong
├── Denied               who asks is known and may not
├── NotFound             the thing is not there, or not there for who asks
├── Conflict             the thing's present state forbids it
│   └── PreconditionFailed  the thing is not, or not any more, what the client says it is
├── TooLarge             over a named limit
├── BadRange             a byte range that cannot be satisfied
├── TooSlow              the client did not send in time
├── RateLimited          too many, try later
├── Unsupported          valid, but not something this registry does
├── Unavailable          a resource behind the registry fails; not the client's fault
│   └── StorageFull      no space left for what was sent
└── ClientGone           the connection went away; nobody is left to answer
"""

from collections.abc import Mapping
from typing import ClassVar


class EntrepotError(Exception):
    """An error with a message for people that says what to do, and an optional machine-readable detail.

    `code` is the class's name for programs (docs/reference/errors.md): each class has its own, which stays when the
    class is renamed.
    """

    code: ClassVar[str]

    def __init__(self, message: str, detail: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class Invalid(EntrepotError):
    code = "invalid"


class Unauthenticated(EntrepotError):
    code = "unauthenticated"


class Denied(EntrepotError):
    code = "denied"


class NotFound(EntrepotError):
    code = "not_found"


class Conflict(EntrepotError):
    code = "conflict"


class PreconditionFailed(Conflict):
    code = "precondition_failed"


class TooLarge(EntrepotError):
    code = "too_large"


class BadRange(EntrepotError):
    code = "bad_range"


class TooSlow(EntrepotError):
    code = "too_slow"


class RateLimited(EntrepotError):
    """`retry_after_seconds` says when to try again, None where nobody can say."""

    code = "rate_limited"

    def __init__(self, message: str, retry_after_seconds: int | None = None) -> None:
        super().__init__(message, None if retry_after_seconds is None else {"retry_after_seconds": retry_after_seconds})
        self.retry_after_seconds = retry_after_seconds


class Unsupported(EntrepotError):
    code = "unsupported"


class Unavailable(EntrepotError):
    code = "unavailable"


class StorageFull(Unavailable):
    code = "storage_full"


class ClientGone(EntrepotError):
    code = "client_gone"
