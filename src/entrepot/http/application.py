"""The ASGI application: every request goes through `_answer`, top to bottom."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from entrepot.access.permissions import Permission
from entrepot.app import App
from entrepot.errors import ClientGone, EntrepotError, Invalid, Unauthenticated, Unavailable
from entrepot.http import authorize, cross_origin, limits, routes
from entrepot.http.authenticate import authenticate
from entrepot.http.bodies import Bodies
from entrepot.http.errors import CLIENT_GONE, error_response, unexpected_response
from entrepot.http.messages import Headers, Request, Response, Scope, Send, harmless, send_response
from entrepot.http.reception import Receive
from entrepot.http.routing import Route
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
        self._api: Any = None
        self._bodies = Bodies()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http" and self._app is not None:
            await self._exchange(self._app, scope, receive, send)

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

    async def _exchange(self, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        request = Request(app, scope, receive, self._new_request_id(), self._bodies)
        try:
            if request.path.startswith(API_PREFIX) and request.has_one_host:
                await self._exchange_api(request, receive, send, started)
            else:
                await self._exchange_plain(request, send, started)
        finally:
            request.close()

    async def _exchange_plain(self, request: Request, send: Send, started: float) -> None:
        route, response = await _answer(request)
        response.headers += [
            (b"x-request-id", request.id.encode()),
            *harmless(response.headers),
            *cross_origin.headers(request),
        ]
        status, sent = response.status, 0
        if request.body_is_left and request.scope.get("http_version") != "2":
            # What is left stands between this request and the next one, which might then never be read.
            response.headers.append((b"connection", b"close"))
        if status == CLIENT_GONE:
            # Mostly nobody reads this. Who does sent a body that is not valid HTTP, and is still there.
            response.status = 400
        try:
            sent = await send_response(response, send, head=request.method == "HEAD")
        except EntrepotError as error:
            # The headers are out: breaking the connection is all that tells the client.
            log.error("the answer broke off: %s", error.message, extra={"request_id": request.id})
            raise
        finally:
            path = route.path if route is not None else "unknown"
            self._record(request, path, status, sent, time.perf_counter() - started)

    async def _exchange_api(self, request: Request, receive: Receive, send: Send, started: float) -> None:
        if self._api is None:
            # Loading it takes a second, which a worker that only serves images does without. In a thread, so that
            # other requests go on meanwhile.
            module = await asyncio.to_thread(import_module, "entrepot.http.api.application")
            self._api = await asyncio.to_thread(module.API)
        status, sent = await self._api.answer(request, receive, send)
        route: Any = request.scope.get("route")
        path = route.path if route is not None else "unknown"
        self._record(request, path, status, sent, time.perf_counter() - started)

    def _new_request_id(self) -> str:
        self._request_number += 1
        return f"{self._request_prefix}{self._request_number:08x}"

    def _record(self, request: Request, path: str, status: int, sent: int, seconds: float) -> None:
        method = request.method if path != "unknown" else "OTHER"
        request.app.metrics.request(method, path, status, seconds)
        self._access_log.write(
            {
                "time": datetime.fromtimestamp(request.app.clock() / 1000, UTC),
                "request_id": request.id,
                "client_request_id": request.origin.client_request_id or None,
                "client": request.origin.address,
                "user": request.principal.key,
                "method": request.method,
                "path": _short(_shown(request.path, path)),
                "status": status,
                "sent_bytes": sent,
                "milliseconds": round(seconds * 1000, 3),
                "user_agent": _short(request.origin.user_agent),
            }
        )


async def _answer(request: Request) -> tuple[Route | None, Response]:
    """The order of things: which route, who asks, may they, and the route's own work."""
    route: Route | None = None
    try:
        if not request.has_one_host:
            raise Invalid("the request has no Host header, or several: send one")
        route = await _route(request)
        request.app.caches.refresh()
        request.principal = await authenticate(request)
        if route.permission is not Permission.PUBLIC:
            await authorize.require(request, route.permission, route.or_permission)
        return route, await route.handler(request)
    except ClientGone as error:
        return route, _refusal(error, [])
    except Unauthenticated as error:
        permission = Permission.SIGNED_IN if route is None else route.next_permission or route.permission
        return route, _refusal(error, authorize.challenge(request, permission, error))
    except EntrepotError as error:
        if isinstance(error, Unavailable):
            # What failed is the operator's to know, and not the client's.
            log.error("%s: %s", error.message, _first_cause(error), extra={"request_id": request.id})
        return route, _refusal(error, [])
    except Exception:
        log.exception("unexpected error", extra={"request_id": request.id})
        return route, unexpected_response(request.id)


async def _route(request: Request) -> Route:
    """Raises what `routes.match` raises; such requests are nobody's, and count for their address."""
    try:
        return routes.match(request)
    except EntrepotError:
        await limits.admit_address(request)
        raise


def _short(text: str) -> str:
    """What strangers send does not fill a disk."""
    return text if len(text) <= LOGGED_CHARACTERS_MAX else text[: LOGGED_CHARACTERS_MAX - 1] + "…"


def _shown(path: str, route_path: str) -> str:
    """The path without what lets somebody go on with an upload."""
    if route_path != UPLOAD_PATH:
        return path
    before, _, address = path.rpartition("/")
    return f"{before}/{address.partition('.')[0]}"


def _refusal(error: EntrepotError, headers: Headers) -> Response:
    """The answer to an error, which lets go of the frames that it went through.

    They hold the request, and some of them the error: until the garbage collector comes by, which may be minutes later,
    the web server would wait for the rest of a body that nobody reads any more, and keep the connection open for it.
    """
    passed: BaseException | None = error
    while passed is not None:
        passed.__traceback__ = None
        passed = passed.__cause__ or passed.__context__
    return error_response(error, headers)


def _first_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
