"""The management API: its routes, and how FastAPI validates and calls them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import cache, partial
from importlib.metadata import version
from typing import cast

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request as StarletteRequest
from starlette.responses import JSONResponse, StreamingResponse
from starlette.responses import Response as StarletteResponse
from starlette.routing import Match

from entrepot.access.permissions import Permission
from entrepot.errors import Invalid
from entrepot.http import cross_origin
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
from entrepot.http.api.resource import REQUEST_KEY, ApiRoute
from entrepot.http.messages import HARMLESS, Request, Response
from entrepot.http.reception import Message
from entrepot.http.routing import UNKNOWN_PATH, Face, MethodUnsupported, PathUnknown, Route

PREFIX = "/api/v1"
_STACKS = ("fastapi_middleware_astack", "fastapi_inner_astack", "fastapi_function_astack")
BODY_BYTES_MAX = 1024 * 1024


async def _document(request: StarletteRequest) -> JSONResponse:
    """Return the OpenAPI description of this API."""
    return JSONResponse(build().openapi())


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


def make_face() -> Face:
    """The management API as a face: FastAPI validates and calls; the route rows say which permission is needed."""
    rows = {(PREFIX + row.path, row.method): row for row in ROUTES}
    found = []
    for api_route in build().routes:
        if isinstance(api_route, APIRoute):
            handler = partial(_handle, api_route.get_route_handler())
            for method in api_route.methods or ():
                row = rows[api_route.path, method]
                found.append((api_route, Route((method,), api_route.path, handler, row.permission, row.where)))
    return Face(partial(_match, found), problems.refusal, problems.defect, ((b"cache-control", b"no-store"), *HARMLESS))


def _match(routes: Sequence[tuple[APIRoute, Route]], request: Request) -> Route:
    """Raises PathUnknown, MethodUnsupported, Invalid."""
    scope = request.scope
    if "\0" in scope["path"] or b"%00" in scope["query_string"]:
        raise Invalid("the path or the query contains a NUL character: remove it")
    if "\n" in scope["path"]:
        # The framework takes a path for another one that only ends in a line break.
        raise Invalid("the path contains a line break: remove it")
    methods = {"OPTIONS"}
    for api_route, route in routes:
        match, child = api_route.matches(scope)
        if match is Match.FULL:
            scope.update(child)
            request.parameters = child["path_params"]
            return route
        if match is Match.PARTIAL:
            methods.update(route.methods)
    if len(methods) == 1:
        raise PathUnknown("there is nothing at this path: see /api/v1/openapi.json for all paths")
    if request.method == "OPTIONS":
        options = partial(cross_origin.options, methods=sorted(methods))
        return Route(("OPTIONS",), UNKNOWN_PATH, options, Permission.PUBLIC)
    raise MethodUnsupported(sorted(methods))


async def _handle(call: Callable[[StarletteRequest], Awaitable[StarletteResponse]], request: Request) -> Response:
    """Let FastAPI validate the request and call the endpoint. Raises what the endpoint raises."""
    body = await request.body(BODY_BYTES_MAX) if request.has_body else b""
    if body and "json" in (request.header(b"content-type") or "json"):
        _check_json(body)

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = request.scope
    scope[REQUEST_KEY] = request
    async with AsyncExitStack() as stack:
        # Where the framework expects what its own application would have put there.
        scope.update(dict.fromkeys(_STACKS, stack))
        try:
            response = await call(StarletteRequest(scope, receive))
        except RequestValidationError as error:
            return problems.of_validation(error)
        except HTTPException as error:
            return problems.of_http(error)
    headers = list(response.raw_headers)
    if isinstance(response, StreamingResponse):
        # Nothing here streams anything but bytes.
        return Response(response.status_code, headers, cast("AsyncIterator[bytes]", response.body_iterator))
    return Response(response.status_code, headers, bytes(response.body))


def _check_json(body: bytes) -> None:
    """Raises Invalid for JSON that Python accepts and databases do not: lone surrogates, NaN, other encodings."""
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"the body is not JSON in UTF-8 (RFC 8259): {error}") from None


@cache
def build() -> FastAPI:
    """The FastAPI application that validates requests and describes the API. It serves none by itself."""
    api = FastAPI(
        title="Entrepot",
        version=version("entrepot"),
        summary="Manage users, robots, roles, grants, namespaces and repositories, and read the audit log.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        responses={"default": {"description": "An error, as problem details (RFC 9457).", "content": problems.CONTENT}},
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
