"""HTTP/2 as frames (RFC 9113), without TLS: as much of a client as it takes to misbehave."""

import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.hostile.wire import SECONDS_MAX

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
_STATUSES = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}
"""What the static table has (RFC 7541, appendix A)."""
Fields = Iterable[tuple[str | bytes, str | bytes]]


@dataclass(frozen=True)
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes


@dataclass(frozen=True)
class Exchange:
    """How a stream ended: with a status and a body, or (0) reset, or with its connection."""

    status: int
    body: bytes = b""


class HTTP2Connection:
    """One connection, with the prior knowledge that the server speaks HTTP/2."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=SECONDS_MAX)
        self._buffer = b""
        self._next_stream = 1
        self._begun: dict[int, tuple[int, bytes]] = {}
        self._ended: dict[int, Exchange] = {}
        # No table of fields that were sent before: it would have to be kept to understand the next answer.
        self.send(PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 1, 0)))
        # Room for large answers.
        self.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**30)))

    def send(self, data: bytes) -> None:
        """Send bytes as they are; the server may have closed."""
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def open(self, fields: Fields, *, end: bool = True) -> int:
        """Begin a request; answers its stream."""
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        self.send(frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block(fields)))
        return stream

    def ask(self, fields: Fields, body: bytes = b"", *, end: bool = True) -> Exchange:
        """A request with its body, and its answer."""
        stream = self.open(fields, end=not body)
        for start in range(0, len(body), 16_384):
            piece = body[start : start + 16_384]
            last = end and start + 16_384 >= len(body)
            self.send(frame(DATA, END_STREAM if last else 0, stream, piece))
        return self.answer(stream)

    def answer(self, stream: int) -> Exchange:
        """How the stream ends."""
        while stream not in self._ended:
            received = self.read()
            if received is None or received.kind == GOAWAY:
                return Exchange(0)
            self._take(received)
        return self._ended[stream]

    def _take(self, received: Frame) -> None:
        status, body = self._begun.get(received.stream, (0, b""))
        if received.kind == RST_STREAM:
            self._ended[received.stream] = Exchange(0)
        elif received.kind == HEADERS:
            status = _status(received.payload)
        elif received.kind == DATA:
            body += received.payload
        else:
            return
        self._begun[received.stream] = status, body
        if received.kind != RST_STREAM and received.flags & END_STREAM:
            self._ended[received.stream] = Exchange(status, body)

    def ends(self) -> bool:
        """Wait until the server ends the connection."""
        while (received := self.read()) is not None:
            if received.kind == GOAWAY:
                return True
        return True

    def read(self) -> Frame | None:
        """The next frame; None at the end."""
        head = self._exactly(9)
        if len(head) < 9:
            return None
        length = int.from_bytes(head[:3], "big")
        stream = int.from_bytes(head[5:9], "big")
        received = Frame(head[3], head[4], stream, self._exactly(length))
        if received.kind == SETTINGS and not received.flags & ACK:
            self.send(frame(SETTINGS, ACK, 0))
        return received

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            try:
                received = self._socket.recv(65_536)
            except ConnectionResetError:
                received = b""
            if not received:
                return b""
            self._buffer += received
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def block(fields: Fields) -> bytes:
    """Header fields, each written out (RFC 7541, section 6.2.2)."""
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields)


def request_fields(method: str, path: str, authorization: str | None = None, *more: tuple[str, str]) -> Fields:
    """The fields of a request."""
    fields: list[tuple[str | bytes, str | bytes]] = [
        (":method", method),
        (":scheme", "http"),
        (":authority", "registry.test"),
        (":path", path),
    ]
    if authorization is not None:
        fields.append(("authorization", authorization))
    return [*fields, *more]


def _text(text: str | bytes) -> bytes:
    content = text if isinstance(text, bytes) else text.encode()
    return integer(len(content), 7) + content


def integer(value: int, bits: int, first: int = 0) -> bytes:
    """A number as HPACK writes them (RFC 7541, section 5.1)."""
    most = 2**bits - 1
    if value < most:
        return bytes((first | value,))
    written = bytearray((first | most,))
    value -= most
    while value >= 128:
        written.append(value % 128 + 128)
        value //= 128
    return bytes((*written, value))


def _status(payload: bytes) -> int:
    """The status: the first field there is. Its three digits may be packed (RFC 7541, appendix B)."""
    while payload[0] & 0xE0 == 0x20:  # the size of the table changes
        payload = payload[1:]
    if payload[0] & 0x80:
        return _STATUSES[payload[0] & 0x7F]
    packed, length = payload[1] & 0x80, payload[1] & 0x7F
    value = payload[2 : 2 + length]
    if not packed:
        return int(value)
    bits = "".join(f"{byte:08b}" for byte in value)
    digits = ""
    while len(digits) < 3:
        size = 5 if bits[:5] in {"00000", "00001", "00010"} else 6
        code, bits = bits[:size], bits[size:]
        digits += str(int(code, 2) if size == 5 else int(code, 2) - 0b011001 + 3)
    return int(digits)
