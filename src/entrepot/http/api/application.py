"""The API as one ASGI application, with this registry's own request, principal and limits put before it."""

import logging
from collections.abc import Mapping
from importlib.metadata import version

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request as StarletteRequest
from starlette.responses import JSONResponse
from starlette.responses import Response as StarletteResponse
from starlette.routing import Match

from entrepot.access.permissions import Permission
from entrepot.errors import ClientGone, EntrepotError, Invalid, Unauthenticated, Unavailable
from entrepot.http import authorize, cross_origin
from entrepot.http.api import (
    access,
    account,
    audit,
    grants,
    groups,
    namespaces,
    problems,
    providers,
    repositories,
    robots,
    roles,
    users,
)
from entrepot.http.api.resource import REQUEST_KEY, ApiRoute, current
from entrepot.http.authenticate import authenticate
from entrepot.http.errors import CLIENT_GONE
from entrepot.http.messages import Request, Scope, Send, harmless, send_response
from entrepot.http.reception import Message, Receive
from entrepot.oci.name import RepositoryName

PREFIX = "/api/v1"
BODY_BYTES_MAX = 1024 * 1024
log = logging.getLogger(__name__)


async def _document(request: StarletteRequest) -> JSONResponse:
    """This API, as OpenAPI describes it."""
    application: FastAPI = request.app
    return JSONResponse(application.openapi())


ROUTES: tuple[ApiRoute, ...] = (
    *account.ROUTES,
    *users.ROUTES,
    *groups.ROUTES,
    *robots.ROUTES,
    *providers.ROUTES,
    *roles.ROUTES,
    *grants.ROUTES,
    *namespaces.ROUTES,
    *repositories.ROUTES,
    *access.ROUTES,
    *audit.ROUTES,
    ApiRoute("GET", "/openapi.json", _document, Permission.API_DOCUMENT),
)


class API:
    """The application, and the way of a request through it."""

    def __init__(self) -> None:
        self._application = build()
        rows = {(PREFIX + row.path, row.method): row for row in ROUTES}
        self._routes = [
            (route, rows[route.path, method])
            for route in self._application.routes
            if isinstance(route, APIRoute)
            for method in route.methods or ()
        ]

    async def answer(self, request: Request, receive: Receive, send: Send) -> tuple[int, int]:
        """Answer the request; tells the status and the bytes of the body for logs and metrics."""
        answer = _Answer(send, request)
        scope = request.scope
        scope[REQUEST_KEY] = request
        request.app.caches.refresh()
        try:
            request.principal = await authenticate(request)
            if "\0" in scope["path"] or b"%00" in scope["query_string"]:
                raise Invalid("the path or the query has a NUL in it")
            if "\n" in scope["path"]:
                # The framework takes a path for another one that only ends in a line break.
                raise Invalid("the path has a line break in it")
            if request.method == "OPTIONS" and (methods := self._methods(scope)):
                await send_response(await cross_origin.options(request, methods), answer, head=False)
                return answer.status, answer.sent
            body = b""
            route = self._route(scope)
            if route is not None:
                # Nobody sends a body, and waits for it to be read, to learn that they may not.
                await _require(request, *route)
                body = await request.body(BODY_BYTES_MAX) if request.has_body else b""
            if body and "json" in (request.header(b"content-type") or "json"):
                _check_json(body)
            await self._application(scope, _Body(body, receive), answer)
        except ClientGone:
            return CLIENT_GONE, answer.sent
        except EntrepotError as error:
            if answer.status:
                log.error("the answer broke off: %s", error.message, extra={"request_id": request.id})
                raise
            await _refusal(request, error)(scope, receive, answer)
        except Exception:
            log.exception("unexpected error", extra={"request_id": request.id})
            if answer.status:
                # The headers are out: breaking the connection is all that tells the client.
                raise
            await problems.unexpected(request.id)(scope, receive, answer)
        return answer.status, answer.sent

    def _route(self, scope: Scope) -> tuple[ApiRoute, Mapping[str, str]] | None:
        """The route and its path parameters; None when there is none, which the framework says."""
        for route, row in self._routes:
            match, child = route.matches(scope)
            if match is Match.FULL:
                return row, child["path_params"]
        return None

    def _methods(self, scope: Scope) -> list[str]:
        """Those that the path answers; none when there is nothing at it."""
        found = {row.method for route, row in self._routes if route.matches(scope)[0] is not Match.NONE}
        return sorted({"OPTIONS", *found}) if found else []


def _check_json(body: bytes) -> None:
    """Raises Invalid for what Python's parser takes and no database does: half characters, NaN, other encodings."""
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"the body is not JSON in UTF-8 (RFC 8259): {error}") from None


class _Body:
    """Hands over a body that was received already, and then what the server has to say."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


class _Answer:
    """Sends messages on, with the request's id, and keeps what logs want to know."""

    def __init__(self, send: Send, request: Request) -> None:
        self._send = send
        self._request = request
        self.status = self.sent = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            request, headers = self._request, list(message.get("headers", ()))
            headers += [(b"x-request-id", request.id.encode()), (b"cache-control", b"no-store"), *harmless(headers)]
            headers += cross_origin.headers(request)
            if request.body_is_left and request.scope.get("http_version") != "2":
                # As for the other faces: the next request must not be looked for in what is left of this one.
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        else:
            self.sent += len(message.get("body", b""))
        await self._send(message)


def build() -> FastAPI:
    api = FastAPI(
        title="Entrepot",
        version=version("entrepot"),
        summary="Manage users, robots, roles, grants, namespaces and repositories, and read the audit log.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        exception_handlers={
            EntrepotError: _on_error,
            RequestValidationError: _on_validation,
            HTTPException: _on_http,
            Exception: _on_unexpected,
        },
        responses={"default": {"description": "What went wrong (RFC 9457).", "content": problems.CONTENT}},
    )
    for route in ROUTES:
        api.add_api_route(
            PREFIX + route.path,
            route.endpoint,
            methods=[route.method],
            status_code=route.status,
            openapi_extra={"x-permission": route.permission.value},
            responses=dict(route.responses),
            response_class=route.response_class,
        )
    return api


def _operation_id(route: APIRoute) -> str:
    return f"{route.endpoint.__module__.rpartition('.')[2]}_{route.name}"


async def _require(request: Request, route: ApiRoute, parameters: Mapping[str, str]) -> None:
    """Raises what `authorize.require_at` raises."""
    if route.inside:
        # The endpoint asks for the permission itself; nobody gets that far without being somebody.
        await authorize.require_at(request, Permission.SIGNED_IN, None)
        return
    path = RepositoryName.parse(parameters[route.at]) if route.at is not None else None
    await authorize.require_at(request, route.permission, path)


async def _on_error(request: StarletteRequest, error: EntrepotError) -> StarletteResponse:
    return _refusal(current(request), error)


def _refusal(request: Request, error: EntrepotError) -> StarletteResponse:
    challenge = []
    if isinstance(error, Unauthenticated):
        challenge = authorize.challenge(request, Permission.SIGNED_IN, error)
    if isinstance(error, Unavailable):
        log.error("%s: %s", error.message, error.__cause__, extra={"request_id": request.id})
    return problems.of_error(error, challenge)


async def _on_validation(request: StarletteRequest, error: RequestValidationError) -> StarletteResponse:
    return problems.of_validation(error)


async def _on_unexpected(request: StarletteRequest, error: Exception) -> StarletteResponse:
    # The framework raises it again once it is answered: it is logged there.
    return problems.unexpected(current(request).id)


async def _on_http(request: StarletteRequest, error: HTTPException) -> StarletteResponse:
    return problems.of_http(error)
