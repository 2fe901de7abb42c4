"""The ASGI application: every request of every face goes through `_respond`, top to bottom."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from http import HTTPStatus
from importlib import import_module
from typing import Any

from entrepot.access.permissions import Permission
from entrepot.app import App
from entrepot.errors import EntrepotError, Invalid, Unauthenticated, Unavailable
from entrepot.http import authorize, cross_origin, limits, routes
from entrepot.http.authenticate import authenticate
from entrepot.http.bodies import Bodies
from entrepot.http.errors import CLIENT_GONE
from entrepot.http.messages import ASGIScope, Headers, Request, Response, Send, harmless_page, send_response
from entrepot.http.reception import Receive
from entrepot.http.routing import UNKNOWN_PATH, Face, Route
from entrepot.http.v2.routes import UPLOAD_PATH
from entrepot.telemetry.logging import AccessLog

API_PREFIX = "/api/"
LOGGED_CHARACTERS_MAX = 512
"""The longest that a client can make one field of the access log."""
log = logging.getLogger(__name__)


class Application:
    """Opens the App when the server's event loop starts, and closes it when it ends."""

    def __init__(
        self, opening: AbstractAsyncContextManager[App], access_log: AccessLog, on_open: Callable[[], None]
    ) -> None:
        self._opening = opening
        self._on_open = on_open
        self._access_log = access_log
        self._app: App | None = None
        self._request_prefix = secrets.token_hex(6)
        self._request_number = 0
        self._api: Face | None = None
        self._bodies = Bodies()

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http" and self._app is not None:
            request = Request(self._app, scope, receive, self._new_request_id(), self._bodies)
            try:
                await self._exchange(request, send)
            finally:
                request.close()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            self._app = await self._opening.__aenter__()
        except EntrepotError as error:
            await send({"type": "lifespan.startup.failed", "message": error.message})
            return
        self._on_open()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._opening.__aexit__(None, None, None)
        self._access_log.flush()
        self._app.metrics.flush()
        await send({"type": "lifespan.shutdown.complete"})

    async def _exchange(self, request: Request, send: Send) -> None:
        started = time.perf_counter()
        path, status, sent = UNKNOWN_PATH, 0, 0
        try:
            is_api = request.path.startswith(API_PREFIX)
            face = routes.face_of(request.path) if not is_api else self._api or await self._load_api()
            path, response = await _respond(request, face)
            _complete(request, response, face)
            status = response.status
            if status == CLIENT_GONE:
                # Mostly nobody reads this. Who does sent a body that is not valid HTTP, and is still there.
                response.status = 400
            sent = await send_response(response, send, head=request.method == "HEAD")
        except EntrepotError as error:
            # The headers are out: breaking the connection is all that tells the client.
            log.error("the response was cut off: %s", error.message, extra={"request_id": request.id})
            raise
        finally:
            if status:
                self._record(request, path, status, sent, time.perf_counter() - started)

    async def _load_api(self) -> Face:
        """It takes a second, which a worker that only serves images does without.

        In a thread, so that other requests go on meanwhile.
        """
        module: Any = await asyncio.to_thread(import_module, "entrepot.http.api.application")
        face: Face = await asyncio.to_thread(module.make_face)
        self._api = face
        return face

    def _new_request_id(self) -> str:
        self._request_number += 1
        return f"{self._request_prefix}{self._request_number:08x}"

    def _record(self, request: Request, path: str, status: int, sent: int, seconds: float) -> None:
        method = request.method if path != UNKNOWN_PATH else "OTHER"
        origin = request.origin
        request.app.metrics.request(method, path, status, seconds)
        self._access_log.write(
            {
                "time": datetime.fromtimestamp(request.app.clock() / 1000, UTC),
                "request_id": request.id,
                "client_request_id": origin.client_request_id or None,
                "client": origin.address,
                "user": request.principal.key,
                "method": request.method,
                "path": _short(_shown(request.path, path)),
                "status": status,
                "sent_bytes": sent,
                "milliseconds": round(seconds * 1000, 3),
                "user_agent": _short(origin.user_agent),
            }
        )


async def _respond(request: Request, face: Face) -> tuple[str, Response]:
    """The order of things: which route, who asks, may they, and the route's own work. Returns the route's path, too."""
    route: Route | None = None
    path = UNKNOWN_PATH
    try:
        try:
            route = _route(request, face)
        except EntrepotError:
            # Such requests are nobody's, and count for their address.
            await limits.admit_address(request)
            raise
        path = route.path
        request.app.caches.refresh()
        await authenticate(request)
        if route.where is None:
            # Nobody sends a body, and waits for it to be read, to learn that they may not.
            await authorize.require(request, Permission.SIGNED_IN, None)
        elif route.permission is not Permission.PUBLIC:
            await authorize.require(request, route.permission, route.where(request), route.or_permission)
        response = await route.handler(request)
        if request.asks_itself and response.status < HTTPStatus.BAD_REQUEST:
            raise AssertionError(f"{path} did not ask for its permission")
        return path, response
    except EntrepotError as error:
        return path, _refusal(request, face, route, error)
    except Exception:
        log.exception("unexpected error", extra={"request_id": request.id})
        return path, face.defect(request)


def _route(request: Request, face: Face) -> Route:
    """Raises Invalid, and what `Face.match` raises."""
    if not request.has_one_host:
        raise Invalid("the request must have exactly one Host header")
    route = face.match(request)
    request.permission = route.permission
    request.asks_itself = route.where is None
    return route


def _complete(request: Request, response: Response, face: Face) -> None:
    """Put the headers on a response that every one has."""
    headers = response.headers
    headers.append((b"x-request-id", request.id.encode()))
    headers += face.headers or harmless_page(headers)
    if request.app.settings.server.allowed_origins:
        headers += cross_origin.headers(request)
    if request.body_is_left and request.scope.get("http_version") != "2":
        # What is left stands between this request and the next one, which might then never be read.
        headers.append((b"connection", b"close"))


def _short(text: str) -> str:
    """What strangers send does not fill a disk."""
    return text if len(text) <= LOGGED_CHARACTERS_MAX else text[: LOGGED_CHARACTERS_MAX - 1] + "…"


def _shown(path: str, route_path: str) -> str:
    """The path without what lets somebody go on with an upload."""
    if route_path != UPLOAD_PATH:
        return path
    before, _, address = path.rpartition("/")
    return f"{before}/{address.partition('.')[0]}"


def _refusal(request: Request, face: Face, route: Route | None, error: EntrepotError) -> Response:
    """The response to an error, which lets go of the frames that it went through.

    They hold the request, and some of them the error: until the garbage collector comes by, which may be minutes later,
    the web server would wait for the rest of a body that nobody reads any more, and keep the connection open for it.
    """
    if isinstance(error, Unavailable):
        # What failed is the operator's to know, and not the client's.
        log.error("%s: %s", error.message, _first_cause(error), extra={"request_id": request.id})
    challenge: Headers = []
    if isinstance(error, Unauthenticated):
        permission = Permission.SIGNED_IN if route is None else route.next_permission or route.permission
        challenge = authorize.challenge(request, permission, error)
    passed: BaseException | None = error
    while passed is not None:
        passed.__traceback__ = None
        passed = passed.__cause__ or passed.__context__
    return face.refusal(request, error, challenge)


def _first_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
