"""Errors as pages, for browsers; others get what the OCI API has."""

from html import escape
from http import HTTPStatus

from entrepot.errors import EntrepotError
from entrepot.http import errors
from entrepot.http.messages import Headers, Request, Response
from entrepot.http.web.page import page


def refusal(request: Request, error: EntrepotError, headers: Headers) -> Response:
    if not _is_browser(request):
        return errors.refusal(request, error, headers)
    status, _ = errors.status_and_code(error)
    response = _page(request, status, error.message)
    response.headers += [*headers, *errors.headers_of(error, status)]
    return response


def defect(request: Request) -> Response:
    if not _is_browser(request):
        return errors.defect(request)
    return _page(request, 500, "An unexpected error occurred.")


def _page(request: Request, status: int, message: str) -> Response:
    text = f'<h2>{HTTPStatus(status).phrase}</h2><p class="problem" role="alert">{escape(message)}</p>'
    return page(request, status, f"{text}<p>Request id: <code>{request.id}</code></p>")


def _is_browser(request: Request) -> bool:
    return "text/html" in (request.header(b"accept") or "")
