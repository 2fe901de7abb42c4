"""HTTP as bytes: sends what no client library would let through, and reads what comes back."""

import json
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

SECONDS_MAX = 60
"""How long a test waits for the server before it fails; no test is about this time."""
Headers = Iterable[tuple[str, str | bytes]]


@dataclass(frozen=True)
class Answer:
    """One response. Header names are lower case; a header that came several times is there several times."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """A header's value, None when it is not there."""
        return next((value for other, value in self.headers if other == name), None)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def from_web_server(self) -> bool:
        """Whether the web server refused this by itself, before it was a request."""
        return self.header("x-request-id") is None


class Connection:
    """One TCP connection to 127.0.0.1."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=SECONDS_MAX)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = cast("BinaryIO", self._socket.makefile("rb"))

    def send(self, data: bytes) -> None:
        """Send; that the server has closed meanwhile is no error, its answer may be there to be read."""
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def finish_sending(self) -> None:
        """Tell the server that nothing more will come."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def answer(self, *, head: bool = False) -> Answer | None:
        """The next answer, None when the server closed the connection without one."""
        line = self._line()
        if not line:
            return None
        version, status, _ = (line + " ").split(" ", 2)
        assert version in {"HTTP/1.0", "HTTP/1.1"}, line
        headers = tuple(self._headers())
        return Answer(int(status), headers, b"" if head else self._body(int(status), dict(headers)))

    def answers(self) -> list[Answer]:
        """Everything until the server closes the connection."""
        found = []
        while (answer := self.answer()) is not None:
            found.append(answer)
        return found

    def read(self, count: int) -> bytes:
        """Raw bytes; fewer when the server closes the connection."""
        try:
            return self._file.read(count)
        except ConnectionResetError:
            return b""

    def still_open(self, *, answered_is_open: bool = True) -> bool:
        """Whether the server has not closed the connection, or, if that is asked, answered."""
        self._socket.setblocking(False)
        try:
            seen = self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        finally:
            self._socket.settimeout(SECONDS_MAX)
        return bool(seen) and answered_is_open

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _line(self) -> str:
        try:
            return self._file.readline().decode("latin-1").rstrip("\r\n")
        except ConnectionResetError:
            return ""

    def _headers(self) -> Iterable[tuple[str, str]]:
        while line := self._line():
            name, _, value = line.partition(":")
            yield name.lower(), value.strip()

    def _body(self, status: int, headers: Mapping[str, str]) -> bytes:
        if status < 200 or status in {204, 304}:
            return b""
        if headers.get("transfer-encoding") == "chunked":
            return b"".join(self._chunks())
        if "content-length" in headers:
            return self.read(int(headers["content-length"]))
        return self.read(-1)

    def _chunks(self) -> Iterable[bytes]:
        while size := int(self._line(), 16):
            yield self.read(size)
            self._line()
        self._line()


def request(
    method: str,
    target: str | bytes,
    headers: Headers = (),
    body: bytes = b"",
    *,
    host: str | bytes | None = "registry.test",
    version: str = "1.1",
) -> bytes:
    """A request as it goes over the wire; Content-Length only when there is a body and no header says otherwise."""
    lines = [_bytes(method) + b" " + _bytes(target) + b" HTTP/" + version.encode()]
    if host is not None:
        lines.append(b"Host: " + _bytes(host))
    given = list(headers)
    lines += [_bytes(name) + b": " + _bytes(value) for name, value in given]
    if body and not {"content-length", "transfer-encoding"} & {name.lower() for name, _ in given}:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """A body in the chunked transfer coding."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + end


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8")
