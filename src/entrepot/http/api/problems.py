"""Errors as problem details (RFC 9457, `application/problem+json`)."""

from http import HTTPStatus
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from entrepot.errors import EntrepotError
from entrepot.http.errors import headers_of, status_and_code
from entrepot.http.messages import Headers, Request, Response

MEDIA_TYPE = "application/problem+json"
REQUEST_INVALID, UNEXPECTED = "request_invalid", "unexpected"
"""The codes of what is no EntrepotError."""
CONTENT: dict[str, Any] = {
    MEDIA_TYPE: {
        "schema": {
            "type": "object",
            "required": ["title", "status", "detail"],
            "properties": {
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string", "description": "What is wrong and what to do."},
                "code": {
                    "type": "string",
                    "description": "The kind of error, for use by programs; docs/reference/errors.md lists them.",
                },
                "context": {"type": "object"},
                "errors": {"type": "array", "items": {"type": "object"}},
            },
        }
    }
}


def refusal(request: Request, error: EntrepotError, headers: Headers) -> Response:
    status, _ = status_and_code(error)
    problem: dict[str, object] = {"detail": error.message, "code": error.code}
    if error.detail is not None:
        problem["context"] = dict(error.detail)
    return _response(status, problem, [*headers, *headers_of(error, status)])


def of_validation(error: RequestValidationError) -> Response:
    errors = [{"where": ".".join(map(str, item["loc"])), "what": item["msg"]} for item in error.errors()]
    detail = "the request does not match the API's description: " + "; ".join(
        f"{e['where']}: {e['what']}" for e in errors
    )
    return _response(422, {"detail": detail[:2000], "code": REQUEST_INVALID, "errors": errors[:50]}, [])


def of_http(error: HTTPException) -> Response:
    headers = [(name.encode(), value.encode()) for name, value in (error.headers or {}).items()]
    detail = "there is nothing at this path" if error.status_code == 404 else str(error.detail)
    return _response(error.status_code, {"detail": detail, "code": HTTPStatus(error.status_code).name.lower()}, headers)


def defect(request: Request) -> Response:
    detail = f"an unexpected error occurred: give the request id {request.id} to the registry's operator"
    return _response(500, {"detail": detail, "code": UNEXPECTED}, [])


def _response(status: int, problem: dict[str, object], headers: Headers) -> Response:
    content = {"title": HTTPStatus(status).phrase, "status": status, **problem}
    body = orjson.dumps(content, default=str)
    fixed = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body))]
    return Response(status, [*fixed, *headers], body)
