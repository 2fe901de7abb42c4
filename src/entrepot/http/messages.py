"""A request and a response, as thin as they can be over ASGI: a pull makes tens of thousands of them a second."""

import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs

import orjson

from entrepot.access.permissions import Permission
from entrepot.app import App
from entrepot.content.errors import too_large
from entrepot.errors import Invalid, TooLarge
from entrepot.http import reception
from entrepot.http.bodies import Bodies
from entrepot.http.origin import client_address, forwarded_url, is_trusted, url
from entrepot.http.reception import Message, Receive
from entrepot.identity.lockout import network_of
from entrepot.oci.name import RepositoryName
from entrepot.principal import ANONYMOUS, Caller, Origin, Principal

log = logging.getLogger(__name__)
ASGIScope = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

QUERY_FIELDS_MAX = 2048
"""Every scope that a token can be asked for may be one, and a few more than that are told how many it may be."""
_NO_PARAMETERS: Mapping[str, str] = MappingProxyType({})
_POLICY = b"content-security-policy"
_OF_A_BODY = frozenset({b"content-length", b"transfer-encoding"})
_NOTHING_RUNS = (_POLICY, b"default-src 'none'; frame-ancestors 'none'; sandbox")
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}", re.ASCII)


class Request:
    """One request.

    Routing sets `repository_text`, `reference` and `parameters` (what is in the path, percent-decoded), `permission`
    (the route's), and `asks_itself` while the handler has still to say where that is needed. `caller` is nobody from
    the request's `origin` until authentication sets it.
    """

    __slots__ = (
        "_bodies",
        "_body_ended",
        "_headers",
        "_held",
        "_query",
        "_receive",
        "_repository",
        "app",
        "asks_itself",
        "caller",
        "id",
        "method",
        "origin",
        "parameters",
        "path",
        "permission",
        "reference",
        "repository_text",
        "scope",
    )

    def __init__(self, app: App, scope: ASGIScope, receive: Receive, request_id: str, bodies: Bodies) -> None:
        self.app = app
        self.scope = scope
        self.id = request_id
        self.method: str = scope["method"]
        self.path: str = (scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0].decode("latin-1")
        self.repository_text = ""
        self.reference = ""
        self.parameters: Mapping[str, str] = _NO_PARAMETERS
        self.permission = Permission.PUBLIC
        self.asks_itself = False
        self._receive = receive
        self._bodies = bodies
        self._held = 0
        self._body_ended = False
        self._headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))
        self._repository: RepositoryName | None = None
        self._query: dict[str, list[str]] | None = None
        self.origin = Origin(
            self._client_address(), self.header(b"user-agent") or "", request_id, self._client_request_id()
        )
        self.caller = Caller(ANONYMOUS, self.origin)

    @property
    def principal(self) -> Principal:
        return self.caller.principal

    def _client_address(self) -> str:
        peer: Any = self.scope.get("client")
        trusted = self.app.settings.server.trusted_proxies
        forwarded_for = self._all(b"x-forwarded-for") if trusted else None
        if not trusted and b"x-forwarded-for" in self._headers:
            _warn_of_proxy()
        return client_address(peer[0] if peer else "", forwarded_for, trusted)

    def _client_request_id(self) -> str:
        """What the client or a proxy calls this request, so that logs can be joined; nobody else's words are."""
        given = self.header(b"x-request-id")
        return given if given is not None and _REQUEST_ID.fullmatch(given) else ""

    @property
    def has_one_host(self) -> bool:
        """Whether the request says once which host it is for: of several, a proxy may take another (RFC 9112, 3.2).

        In HTTP/1.0 it need not, and balancers that look at `/readyz` do not.
        """
        host = self._headers.get(b"host")
        if host is None or (host == b"" and self.scope.get("http_version") not in {"1", "1.0"}):
            return False
        headers = self.scope["headers"]
        return len(headers) == len(self._headers) or sum(name == b"host" for name, _ in headers) == 1

    @property
    def from_trusted_proxy(self) -> bool:
        peer: Any = self.scope.get("client")
        return bool(peer) and is_trusted(peer[0], self.app.settings.server.trusted_proxies)

    @property
    def base_url(self) -> str:
        """How the client reaches this registry."""
        configured = self.app.settings.server.external_url
        if configured:
            return configured.rstrip("/")
        scheme: str = self.scope.get("scheme", "http")
        host = self.header(b"host") or self.scope.get("server", ("localhost",))[0]
        if self.from_trusted_proxy:
            return forwarded_url(scheme, host, self.header)
        if scheme == "http" and (self.header(b"x-forwarded-proto") or "").lower() == "https":
            _warn_of_scheme()
        return url(scheme, host)

    @property
    def repository(self) -> RepositoryName:
        """Raises NameInvalid."""
        if self._repository is None:
            self._repository = RepositoryName.parse(self.repository_text)
        return self._repository

    def has_any(self, names: AbstractSet[bytes]) -> bool:
        """Whether one of these headers is there. Names are lower case."""
        return not self._headers.keys().isdisjoint(names)

    def header(self, name: bytes) -> str | None:
        """A header's value; the first one of several. Names are lower case."""
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")

    def _all(self, name: bytes) -> str | None:
        """A header that is a list, from all its lines: proxies add lines of their own (RFC 9110, section 5.3)."""
        lines = [value.decode("latin-1") for other, value in self.scope["headers"] if other == name]
        return ",".join(lines) if lines else None

    def query(self, name: str) -> str | None:
        """A query parameter's value; the first one of several."""
        values = self.query_all(name)
        return values[0] if values else None

    def query_text(self, name: str) -> str:
        """A query parameter that may be any text, as far as PostgreSQL can compare with it. Raises Invalid."""
        text = self.query(name) or ""
        if "\x00" in text:
            raise Invalid(f"{name} contains a NUL character: remove it")
        return text

    def query_all(self, name: str) -> list[str]:
        """Raises Invalid when the query cannot be read."""
        if self._query is None:
            try:
                text = self.scope["query_string"].decode("ascii")
                self._query = parse_qs(text, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX) if text else {}
            except ValueError:
                raise Invalid(
                    f"the query cannot be read: use ASCII and at most {QUERY_FIELDS_MAX} parameters"
                ) from None
        return self._query.get(name, [])

    @property
    def content_length(self) -> int | None:
        """The announced body's bytes, None when it is sent in chunks."""
        text = self.header(b"content-length")
        return int(text) if text is not None and text.isdecimal() else None

    @property
    def has_body(self) -> bool:
        """Whether a body is announced, though it may turn out to be empty."""
        if self.content_length is not None:
            return self.content_length > 0
        return self.header(b"transfer-encoding") is not None or self.scope.get("http_version") == "2"

    @property
    def body_is_left(self) -> bool:
        """Whether some of the body, as far as is known, is still to be received."""
        if self._body_ended or self._headers.keys().isdisjoint(_OF_A_BODY):
            return not self._body_ended and self.scope.get("http_version") == "2"
        return self.has_body

    async def body(self, bytes_max: int) -> bytes:
        """The whole body, which counts as held until `close`.

        Raises TooLarge, TooManyBodies, and what `pieces` raises.
        """
        limit = TooLarge(f"the body is larger than {bytes_max} bytes")
        if (self.content_length or 0) > bytes_max:
            raise limit
        received = bytearray()
        network = network_of(self.origin.address)
        async for piece in self._pieces(None, lambda: 0):
            self._bodies.take(network, self._held, len(piece))
            self._held += len(piece)
            received += piece
            if len(received) > bytes_max:
                raise limit
        return bytes(received)

    def close(self) -> None:
        """The request is over: what was held of its body is held no more."""
        if self._held:
            self._bodies.release(network_of(self.origin.address), self._held)
            self._held = 0

    def pieces(self, expected: int | None = None) -> AsyncIterator[bytes]:
        """A blob's bytes as they arrive; `expected` many, when that was announced by other means.

        See `reception.pieces`. Raises BlobTooLarge.
        """
        bytes_max = self.app.settings.registry.blob_bytes_max
        if self.content_length is not None and self.content_length > bytes_max:
            raise too_large(bytes_max)
        return self._pieces(expected, self.app.store.bytes_ahead)

    def _pieces(self, expected: int | None, ahead: reception.Ahead) -> AsyncIterator[bytes]:
        server = self.app.settings.server
        return reception.pieces(
            self._receive,
            self._end_body,
            announced=self.content_length,
            expected=expected,
            ahead=ahead,
            idle_seconds=server.body_idle_seconds,
            bytes_per_second_min=server.body_bytes_per_second_min,
        )

    def _end_body(self) -> None:
        self._body_ended = True


@dataclass(frozen=True, slots=True)
class SentFile:
    """A body that the web server takes from a file by itself."""

    path: str
    size: int


@dataclass(slots=True)
class Response:
    """One answer. The body is bytes, a file that the server sends by itself, or a stream."""

    status: int
    headers: Headers = field(default_factory=list)
    body: bytes | SentFile | AsyncIterator[bytes] = b""


def json_response(status: int, content: object, headers: Headers | None = None) -> Response:
    body = orjson.dumps(content)
    return Response(
        status,
        [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *(headers or [])],
        body,
    )


@cache
def _warn_of_proxy() -> None:
    """Once in each process."""
    log.warning(
        "a request came with X-Forwarded-For, and server.trusted_proxies is empty: if there is a proxy in front, name "
        "its address there; until then all clients behind it share one address, and one delay after wrong passwords"
    )


@cache
def _warn_of_scheme() -> None:
    """Once in each process."""
    log.warning(
        "a request came with X-Forwarded-Proto: https, and not from a trusted proxy: clients are told http:// "
        "addresses and cannot sign in. Name the proxy in server.trusted_proxies, or set server.external_url"
    )


HARMLESS = ((b"x-content-type-options", b"nosniff"), _NOTHING_RUNS)
"""What keeps a browser from taking what is stored here for a page: on every response."""


def harmless_page(headers: Headers) -> Headers:
    """The same where there are pages, which have a policy of their own."""
    has_policy = any(name == _POLICY for name, _ in headers)
    return [one for one in HARMLESS if one is not _NOTHING_RUNS or not has_policy]


async def send_response(response: Response, send: Send, *, head: bool) -> int:
    """Send the answer, without its body for a HEAD request; answers the bytes of the body."""
    body = response.body
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
    if head or body == b"":
        await send({"type": "http.response.body", "body": b""})
        return 0
    if isinstance(body, bytes):
        await send({"type": "http.response.body", "body": body})
        return len(body)
    if isinstance(body, SentFile):
        await send({"type": "http.response.pathsend", "path": body.path})
        return body.size
    sent = 0
    async for piece in body:
        sent += len(piece)
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
    return sent
