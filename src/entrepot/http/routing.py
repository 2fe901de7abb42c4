"""What a route is."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from entrepot.access.permissions import Permission
from entrepot.http.messages import Request, Response

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """`path` is a name for people, logs and metrics; the faces decide which path belongs to it.

    Who has `or_permission` may, too. Who has no token that does is told to ask for `next_permission`, if there is one.
    """

    methods: tuple[str, ...]
    path: str
    handler: Handler
    permission: Permission
    or_permission: Permission | None = None
    next_permission: Permission | None = None
