"""What a route is, and what a face is: routes that have their way of saying what is wrong in common."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from entrepot.access.decision import Where
from entrepot.access.permissions import Permission
from entrepot.errors import EntrepotError, NotFound, Unsupported
from entrepot.http.messages import Headers, Request, Response

Handler = Callable[[Request], Awaitable[Response]]
UNKNOWN_PATH = "unknown"
"""What logs and metrics call the path of a request that is no route's."""


def the_registry(request: Request) -> Where:
    """Where a permission for the registry as a whole is asked for."""
    return None


def the_repository(request: Request) -> Where:
    return request.repository


@dataclass(frozen=True, slots=True)
class Route:
    """A row: what is called how, and what it needs. `path` is its name for people, logs and metrics.

    `where` says where the permission is asked for. It is None when only the handler can know, because the place is in
    the query, the body or the database: it asks by `authorize.require_here`, and a route that does not ask is a defect.
    Who has `or_permission` may, too. Who has no token that does is told to ask for `next_permission`, if there is one.
    """

    methods: tuple[str, ...]
    path: str
    handler: Handler
    permission: Permission
    where: Callable[[Request], Where] | None = the_registry
    or_permission: Permission | None = None
    next_permission: Permission | None = None


@dataclass(frozen=True, slots=True)
class Face:
    """Routes that belong together. `match` finds a request's, and raises PathUnknown or MethodUnsupported.

    `refusal` makes a response of an error, given more headers; `defect` one for what nobody expected, given the
    request. `headers` are on each response; a face with pages has none, as those have a policy of their own.
    """

    match: Callable[[Request], Route]
    refusal: Callable[[Request, EntrepotError, Headers], Response]
    defect: Callable[[Request], Response]
    headers: tuple[tuple[bytes, bytes], ...] = ()


class PathUnknown(NotFound):
    code = "path_unknown"


class MethodUnsupported(Unsupported):
    """The path is a route's, the method is none of its."""

    code = "method_unsupported"

    def __init__(self, methods: list[str]) -> None:
        super().__init__(f"this path does not support the method: use {', '.join(methods)}", {"methods": methods})
        self.methods = methods
