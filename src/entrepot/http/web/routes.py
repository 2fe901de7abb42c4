"""The paths under /auth/: for everybody, since who asks is not known before."""

import re

from entrepot.access.permissions import Permission
from entrepot.http.messages import Request
from entrepot.http.routing import Route
from entrepot.http.web import home, sign_in

HOME = "/"
PREFIX = "/auth/"
_PROVIDER = re.compile(r"/auth/([a-z0-9][a-z0-9-]{0,31})(/.+)")

ROUTES = (
    Route(("GET", "HEAD"), "/", home.home, Permission.PUBLIC),
    Route(("POST",), "/auth/login", home.sign_in, Permission.PUBLIC),
    Route(("POST",), "/auth/logout", sign_in.logout, Permission.PUBLIC),
    Route(("GET",), "/auth/{provider}/login", sign_in.login, Permission.PUBLIC),
    Route(("GET",), "/auth/{provider}/callback", sign_in.callback, Permission.PUBLIC),
    Route(("POST",), "/auth/{provider}/backchannel-logout", sign_in.backchannel_logout, Permission.PUBLIC),
    Route(("POST",), "/auth/{provider}/device", sign_in.device, Permission.PUBLIC),
    Route(("POST",), "/auth/{provider}/device/token", sign_in.device_token, Permission.PUBLIC),
)


def match(request: Request) -> str | None:
    """The route's path; sets the request's reference to the provider. None for a path that is no route's."""
    found = _PROVIDER.fullmatch(request.path)
    if found is None:
        return request.path
    request.reference = found[1]
    return f"/auth/{{provider}}{found[2]}"
