"""Pages of other origins, in a browser (Fetch standard, "CORS protocol"): which may call, and what they get to see.

They show a token or a password in each request. Cookies and client certificates are nothing that they can make use of:
the answer never allows credentials of the browser.
"""

from collections.abc import Sequence

from entrepot.http.messages import Headers, Request, Response

_PATHS = ("/v2/", "/api/", "/token")
"""Where what programs call begins; pages of the registry itself, health and metrics are no other origin's matter."""
_TAKEN = b"Accept, Authorization, Content-Range, Content-Type, If-Match, If-None-Match, Range, X-Request-Id"
_EXPOSED = (
    b"Accept-Ranges, Allow, Content-Length, Content-Range, Docker-Content-Digest, Docker-Distribution-API-Version, "
    b"Docker-Upload-UUID, ETag, Link, Location, OCI-Filters-Applied, OCI-Subject, OCI-Tag, Range, Retry-After, "
    b"WWW-Authenticate, X-Request-Id"
)
PREFLIGHT_SECONDS = 7200
"""How long a browser may remember what it was told; none does for longer."""


async def options(request: Request, methods: Sequence[str]) -> Response:
    """What a path answers: to a page of an origin that is allowed, too, which asks before it calls (`headers`)."""
    found: Headers = [(b"allow", ", ".join(methods).encode())]
    if _is_allowed(request) and request.header(b"access-control-request-method") is not None:
        found += [
            (b"access-control-allow-methods", ", ".join(methods).encode()),
            (b"access-control-allow-headers", _TAKEN),
            (b"access-control-max-age", b"%d" % PREFLIGHT_SECONDS),
        ]
    return Response(204, found)


def headers(request: Request) -> Headers:
    """For every answer, errors too; none where no origin is allowed."""
    if not request.path.startswith(_PATHS):
        return []
    found: Headers = [(b"vary", b"Origin")]
    if _is_allowed(request):
        origin = (request.header(b"origin") or "").encode("latin-1")
        found += [(b"access-control-allow-origin", origin), (b"access-control-expose-headers", _EXPOSED)]
    return found


def _is_allowed(request: Request) -> bool:
    allowed = request.app.settings.server.allowed_origins
    return request.header(b"origin") in allowed and request.path.startswith(_PATHS)
