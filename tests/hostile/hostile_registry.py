"""A registry that answers as the API's description says, with every text in it meant for the reader's terminal."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

from entrepot.http.api.application import build
from tests.hostile.escapes import HOSTILE

ABSENT = "absent"
"""Where this is in a path, there is nothing yet."""
EXPORT = HOSTILE.encode() + b"\xff\x9b\n"
DEVICE = {
    "device_code": "code",
    "verification_uri": HOSTILE,
    "verification_uri_complete": HOSTILE,
    "user_code": HOSTILE,
}


@dataclass(frozen=True)
class Reply:
    """One answer to every request, whatever was asked."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    reason: str = "said so"


class HostileRegistry:
    """On loopback, while a test runs. `reply` is None to answer as the description says."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.reply: Reply | None = None

    def answer(self, method: str, path: str) -> Reply:
        if self.reply is not None:
            return self.reply
        if path.endswith("/device"):
            return Reply(200, json.dumps({**DEVICE, "interval": 0}).encode())
        if path.endswith("/device/token"):
            return Reply(200, json.dumps({"session": "session"}).encode())
        if path == "/api/v1/audit/export":
            return Reply(200, EXPORT)
        if method == "GET" and ABSENT in path:
            return refusal(404)
        body = described(method, path)
        return Reply(204) if body is None else Reply(200, json.dumps(body).encode())


def refusal(status: int) -> Reply:
    """As the API words it."""
    problem = dict.fromkeys(("type", "title", "detail", "code", "request_id"), HOSTILE)
    return Reply(status, json.dumps(problem).encode(), {"Content-Type": "application/problem+json"})


@contextmanager
def hostile_registry() -> Iterator[HostileRegistry]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.registry = HostileRegistry(f"http://127.0.0.1:{server.server_port}")  # type: ignore[attr-defined]
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.registry  # type: ignore[attr-defined]
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        registry: HostileRegistry = self.server.registry  # type: ignore[attr-defined]
        reply = registry.answer(self.command, unquote(urlsplit(self.path).path))
        self.send_response(reply.status, reply.reason)
        for name, value in {"ETag": '"1"', **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(reply.body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 (as the standard library names them)

    def log_message(self, format: str, *args: object) -> None:
        pass


def described(method: str, path: str) -> Any:
    """What the description says of this answer, as an example; None for one without a body."""
    document = _document()
    answers = next(
        operations[method.lower()]["responses"]
        for template, operations in document["paths"].items()
        if method.lower() in operations
        and re.fullmatch(re.sub(r"\\{\w+\\}", ".+", re.escape(template)), path, re.DOTALL)
    )
    content = next(answer for status, answer in answers.items() if status.startswith("2")).get("content")
    return None if content is None else _example(content["application/json"]["schema"], document)


@cache
def _document() -> Any:
    return build().openapi()


def _example(schema: Mapping[str, Any], document: Any, name: str = "") -> Any:
    if "$ref" in schema:
        return _example(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document, name)
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        # The list ends with its first page.
        wanted = [choice for choice in choices if (choice.get("type") == "null") == (name == "next")]
        return _example((wanted or choices)[0], document, name)
    match schema.get("type"):
        case "object":
            made = {key: _example(value, document, key) for key, value in schema.get("properties", {}).items()}
            others = schema.get("additionalProperties", not made)
            return {**made, HOSTILE: _example({} if others is True else others, document)} if others else made
        case "array":
            return [_example(schema.get("items", {}), document)]
        case "integer" | "number":
            return 1
        case "boolean":
            return True
        case "null":
            return None
    return HOSTILE
