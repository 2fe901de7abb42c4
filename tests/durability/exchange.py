"""Requests that a test holds in its hand: sent piece by piece, cut off, kept to one worker."""

import contextlib
import http.client
import json
import socket
import ssl
from base64 import b64encode
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tests.peers.registry import Registry

ANSWER_SECONDS_MAX = 60
WORKER_TRIES_MAX = 500
REQUEST_NUMBER_CHARACTERS = 8


@dataclass(frozen=True)
class Answer:
    """What the registry said. `worker` is the process that said it: each has a prefix of its own for request ids."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def worker(self) -> str:
        return self.headers["x-request-id"][:-REQUEST_NUMBER_CHARACTERS]

    @property
    def error(self) -> dict[str, Any]:
        """The first error of an OCI error body."""
        entry: dict[str, Any] = json.loads(self.body)["errors"][0]
        return entry

    @property
    def offset(self) -> int:
        """How many bytes of an upload have arrived. Zero and one look the same in the protocol."""
        last = int(self.headers["range"].removeprefix("0-"))
        return last + 1 if last else 0


class Connection:
    """One connection, as the admin; http.client tells what httpx hides: when what is sent."""

    def __init__(self, registry: Registry) -> None:
        self._authorization = "Basic " + b64encode(f"{registry.username}:{registry.password}".encode()).decode()
        self._http: http.client.HTTPConnection
        if registry.certificate:
            context = registry.certificate.client_context()
            self._http = http.client.HTTPSConnection(
                "127.0.0.1", registry.port, timeout=ANSWER_SECONDS_MAX, context=context
            )
        else:
            self._http = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=ANSWER_SECONDS_MAX)

    def begin(self, method: str, path: str, *, length: int, headers: Mapping[str, str] | None = None) -> None:
        """Send a request's head, which announces a body of this length."""
        self._http.putrequest(method, path, skip_accept_encoding=True)
        self._http.putheader("Authorization", self._authorization)
        self._http.putheader("Content-Length", str(length))
        for name, value in (headers or {}).items():
            self._http.putheader(name, value)
        self._http.endheaders()

    def await_continue(self) -> None:
        """Until the server reads the body: it says so to a request that has `Expect: 100-continue`."""
        assert self._http.sock
        said = b""
        while b"\r\n\r\n" not in said:
            # Byte by byte: what comes after it is for `answer`.
            byte = self._http.sock.recv(1)
            assert byte, said
            said += byte
        assert said.startswith(b"HTTP/1.1 100 "), said

    def send(self, piece: bytes) -> None:
        self._http.send(piece)

    def response(self) -> http.client.HTTPResponse:
        """An answer whose body is still to be read."""
        return self._http.getresponse()

    def answer(self) -> Answer:
        response = self.response()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, response.read())

    def request(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """The whole exchange at once. A server may answer before it has all, and take no more: then we read that."""
        self.begin(method, path, length=len(body), headers=headers)
        if body:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.send(body)
        answer = self.answer()
        if body and answer.status >= 400:
            # It may not have read all of the body, and then it takes no further request on this connection.
            self.close()
        return answer

    def peer_certificate(self) -> bytes:
        """The certificate that the server shows, in DER."""
        self._http.connect()
        assert isinstance(self._http.sock, ssl.SSLSocket)
        shown = self._http.sock.getpeercert(binary_form=True)
        assert shown
        return shown

    def reset(self) -> None:
        """Break the connection, as a client that crashed."""
        assert self._http.sock
        self._http.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self._http.close()

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def request(
    registry: Registry, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> Answer:
    """An exchange on a connection of its own."""
    with Connection(registry) as connection:
        return connection.request(method, path, body, headers)


def connection_to_each_worker(registry: Registry, workers: int, stack: ExitStack) -> list[Connection]:
    """One open connection to each of the server's processes; the stack closes them."""
    found: dict[str, Connection] = {}
    for _ in range(WORKER_TRIES_MAX):
        connection = Connection(registry)
        worker = connection.request("GET", "/v2/").worker
        if worker in found:
            connection.close()
        else:
            found[worker] = stack.enter_context(connection)
        if len(found) == workers:
            return list(found.values())
    raise AssertionError(f"{WORKER_TRIES_MAX} connections reached {len(found)} of {workers} workers")
