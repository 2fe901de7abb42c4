"""All routes of all faces but the management API, which has its own in `api/`, on one page."""

from collections.abc import Callable
from functools import partial

from entrepot.access.permissions import Permission
from entrepot.http import authorize, cross_origin, errors, health, token
from entrepot.http.messages import HARMLESS, Request
from entrepot.http.routing import Face, MethodUnsupported, PathUnknown, Route
from entrepot.http.v2 import routes as v2
from entrepot.http.web import problems
from entrepot.http.web import routes as web

HEALTH = (
    Route(("GET", "HEAD"), "/healthz", health.healthz, Permission.PUBLIC),
    Route(("GET", "HEAD"), "/readyz", health.readyz, Permission.PUBLIC),
    Route(("GET",), "/metrics", health.metrics, Permission.METRICS_READ),
)
TOKEN = (
    Route(("GET",), authorize.TOKEN_PATH, token.get, Permission.PUBLIC),
    Route(("POST",), authorize.TOKEN_PATH, token.post, Permission.PUBLIC),
)
ROUTES = (*HEALTH, *TOKEN, *web.ROUTES, *v2.ROUTES)

_BY_METHOD = {(method, route.path): route for route in ROUTES for method in route.methods}
_METHODS = {
    path: sorted({"OPTIONS", *(method for method, other in _BY_METHOD if other == path)}) for _, path in _BY_METHOD
}
_OPTIONS = {
    path: Route(("OPTIONS",), path, partial(cross_origin.options, methods=methods), Permission.PUBLIC)
    for path, methods in _METHODS.items()
}
"""Every path takes it, without signing in: a browser does before a page may."""


def _of(name_of_path: Callable[[Request], str | None]) -> Callable[[Request], Route]:
    def match(request: Request) -> Route:
        path = name_of_path(request)
        route = _BY_METHOD.get((request.method, path)) if path is not None else None
        if route is not None:
            return route
        if path is None or path not in _METHODS:
            raise PathUnknown("there is nothing at this path: the registry's API is under /v2/")
        if request.method == "OPTIONS":
            return _OPTIONS[path]
        raise MethodUnsupported(_METHODS[path])

    return match


V2 = Face(_of(v2.match), errors.refusal, errors.defect, HARMLESS)
PLAIN = Face(_of(lambda request: request.path), errors.refusal, errors.defect, HARMLESS)
WEB = Face(_of(web.match), problems.refusal, problems.defect)


def face_of(path: str) -> Face:
    if path.startswith(v2.PREFIX) or path == "/v2":
        return V2
    return WEB if path == web.HOME or path.startswith(web.PREFIX) else PLAIN
