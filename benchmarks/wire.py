"""A blocking HTTP/1.1 connection that does as little as a load generator can get away with."""

import socket
from dataclasses import dataclass

RECEIVE_BYTES = 1 << 20


class UnexpectedAnswer(Exception):
    """The server answered something the benchmark cannot count as work done."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One response: its status, its head as received, its body."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        """Return the value of a header, found without regard to case."""
        start = self.head.lower().find(b"\r\n" + name.lower() + b":")
        if start < 0:
            return None
        start += len(name) + 3
        return self.head[start : self.head.index(b"\r\n", start)].strip()


class Connection:
    """One keep-alive connection."""

    def __init__(self, host: str, port: int, timeout_seconds: float = 120.0) -> None:
        self.socket = socket.create_connection((host, port), timeout=timeout_seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = memoryview(bytearray(RECEIVE_BYTES))
        self._pending = b""

    def close(self) -> None:
        self.socket.close()

    def exchange(self, request: bytes, *, expected: int, bodyless: bool = False) -> Answer:
        """Send a whole request and return the answer, which must have the expected status."""
        self.send(request)
        return self.answer(expected=expected, bodyless=bodyless, about=request)

    def send(self, data: bytes | memoryview) -> None:
        """Send bytes; when the server hung up, say what it answered first."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise UnexpectedAnswer(f"hung up during a request: {self._last_words()!r}") from error

    def answer(self, *, expected: int, bodyless: bool = False, about: bytes = b"") -> Answer:
        """Read one answer with its body."""
        head, rest = self._head()
        status = int(head[9:12])
        answer = Answer(status, head, b"")
        if not (bodyless or status in (204, 304)):
            answer = Answer(status, head, self._body(answer, rest))
        if status != expected:
            asked = about[:200].split(b"\r\n")[0].decode()
            text = (head + answer.body[:2000]).decode(errors="replace")
            raise UnexpectedAnswer(f"{asked}: expected {expected}, got\n{text}")
        return answer

    def drain(self, request: bytes) -> int:
        """Send a request for something large, throw its body away, return how many bytes it had."""
        self.send(request)
        head, rest = self._head()
        answer = Answer(int(head[9:12]), head, rest)
        length = answer.header(b"content-length")
        if answer.status != 200 or length is None:
            raise UnexpectedAnswer((head + rest[:2000]).decode(errors="replace"))
        received, buffer, receive = len(rest), self._buffer, self.socket.recv_into
        while received < int(length):
            count = receive(buffer)
            if not count:
                raise UnexpectedAnswer(f"hung up after {received:,} of {int(length):,} bytes")
            received += count
        return received

    def _head(self) -> tuple[bytes, bytes]:
        """Read up to the end of a head; interim answers are skipped."""
        data = self._pending
        self._pending = b""
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                data += self._receive()
            elif data[9:10] == b"1":
                data = data[end + 4 :]
            else:
                return data[: end + 4], data[end + 4 :]

    def _body(self, answer: Answer, rest: bytes) -> bytes:
        length = answer.header(b"content-length")
        if length is not None:
            return self._exactly(int(length), rest)
        if answer.header(b"transfer-encoding") == b"chunked":
            return self._chunks(rest)
        raise UnexpectedAnswer(f"a body of unknown length: {answer.head!r}")

    def _exactly(self, length: int, data: bytes) -> bytes:
        parts, missing = [data], length - len(data)
        while missing > 0:
            part = self._receive()
            parts.append(part)
            missing -= len(part)
        body = b"".join(parts)
        self._pending = body[length:]
        return body[:length]

    def _chunks(self, data: bytes) -> bytes:
        body: list[bytes] = []
        while True:
            while (end := data.find(b"\r\n")) < 0:
                data += self._receive()
            size = int(data[:end], 16)
            framed = self._exactly(size + 2, data[end + 2 :])
            data, self._pending = self._pending, b""
            if not size:
                self._pending = data
                return b"".join(body)
            body.append(framed[:size])

    def _receive(self) -> bytes:
        count = self.socket.recv_into(self._buffer)
        if not count:
            raise UnexpectedAnswer("hung up before the end of an answer")
        return bytes(self._buffer[:count])

    def _last_words(self) -> bytes:
        try:
            return self.socket.recv(4096)
        except OSError:
            return b""
