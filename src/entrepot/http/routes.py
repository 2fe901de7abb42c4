"""All routes of all faces, on one page."""

from functools import partial

from entrepot.access.permissions import Permission
from entrepot.errors import NotFound
from entrepot.http import authorize, cross_origin, health, token
from entrepot.http.errors import MethodUnsupported
from entrepot.http.messages import Request
from entrepot.http.routing import Route
from entrepot.http.v2 import routes as v2
from entrepot.http.web import routes as web

ROUTES = (
    Route(("GET", "HEAD"), "/healthz", health.healthz, Permission.PUBLIC),
    Route(("GET", "HEAD"), "/readyz", health.readyz, Permission.PUBLIC),
    Route(("GET",), "/metrics", health.metrics, Permission.METRICS_READ),
    Route(("GET",), authorize.TOKEN_PATH, token.get, Permission.PUBLIC),
    Route(("POST",), authorize.TOKEN_PATH, token.post, Permission.PUBLIC),
    *web.ROUTES,
    *v2.ROUTES,
)

_BY_METHOD = {(method, route.path): route for route in ROUTES for method in route.methods}
_METHODS = {
    path: sorted({"OPTIONS", *(method for method, other in _BY_METHOD if other == path)}) for _, path in _BY_METHOD
}
_OPTIONS = {
    path: Route(("OPTIONS",), path, partial(cross_origin.options, methods=methods), Permission.PUBLIC)
    for path, methods in _METHODS.items()
}
"""Every path answers it, without signing in: a browser does before a page may."""


class PathUnknown(NotFound):
    pass


def match(request: Request) -> Route:
    """The request's route; sets its repository and reference. Raises PathUnknown, MethodUnsupported."""
    path: str | None = request.path
    if request.path.startswith(v2.PREFIX):
        path = v2.match(request)
    elif request.path.startswith(web.PREFIX):
        path = web.match(request)
    elif request.path == "/v2":
        path = v2.PREFIX
    if path is None or path not in _METHODS:
        raise PathUnknown("there is nothing at this path: the registry's API is under /v2/")
    route = _BY_METHOD.get((request.method, path)) if request.method != "OPTIONS" else _OPTIONS[path]
    if route is None:
        raise MethodUnsupported(_METHODS[path])
    return route
