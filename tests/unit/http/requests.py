"""Requests as the web server hands them over, of which only the head is looked at."""

from asyncio import Future
from collections.abc import Mapping
from types import SimpleNamespace
from typing import cast

from entrepot.app import App
from entrepot.http.bodies import Bodies
from entrepot.http.messages import Message, Request
from entrepot.settings import Settings


def request(method: str = "GET", path: str = "/", query: str = "", headers: Mapping[str, str] | None = None) -> Request:
    """One that has nothing of an app but its settings, and no body."""
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in (headers or {}).items()],
    }
    return Request(cast("App", SimpleNamespace(settings=Settings())), scope, _no_body, "", Bodies())


def _no_body() -> Future[Message]:
    raise AssertionError("the body is not to be read")
