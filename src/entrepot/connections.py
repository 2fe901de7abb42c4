"""Ends connections through which nothing goes, and those that are too many of one address (decision 0023).

The web server lets a fixed number of connections in, and waits for as long as a client likes for its first byte, for
its next request over HTTP/2, and for it to take an answer. So each worker looks at its own sockets once a second. The
kernel knows how many bytes the other side has acknowledged; and the requests, which pass by here on their way to the
application, tell whose turn it is: while the application works on one, the client of that connection waits for us.

Over HTTP/2 one connection carries many requests: of those one address has no more at a time than of connections. And
what the web server is given to send it keeps until the client takes it, without letting the application wait: so it is
given an answer in pieces, for which the application does wait, and few files at a time.
"""

import asyncio
import errno
import logging
import os
import resource
import socket
import stat
import struct
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from entrepot.http.bodies import RETRY_SECONDS
from entrepot.http.errors import error_response
from entrepot.http.limits import TooManyRequests
from entrepot.http.messages import HARMLESS, ASGIScope, Send, send_response
from entrepot.http.origin import is_trusted
from entrepot.http.reception import Message, Receive
from entrepot.identity.lockout import network_of

CONNECTIONS_MAX = 2048
"""Connections that one worker has open; more wait in the kernel."""
FILES_PER_CONNECTION = 2
"""The connection, and the blob that is sent over it."""
OTHER_FILES = 512
"""What a worker opens beside those: the database's, other servers', uploads."""
LOOK_SECONDS = 1.0
FULL_PART = 0.75
"""The part of the connections above which new ones have to say soon what they want."""
FULL_SECONDS = 5.0
"""How soon."""
WARN_SECONDS = 60.0
SILENT, STALLED, CROWDED = "silent", "stalled", "crowded"
"""Why a connection is ended: it has brought no request, nothing moves any more, there are too many of its address."""
PIECE_BYTES = 64 * 1024
"""Of an answer, given to the web server at a time: it holds some of them for each request, in copies of its own."""
FILES_AT_A_TIME_MAX = 4
"""Files that the web server sends by itself over one HTTP/2 connection. It takes 270 KB of memory for each, and is up
to half as fast again as pieces are."""
_SEND_FILE = "http.response.pathsend"
_OPEN_FILES = "/proc/self/fd"
_TCP_INFO_BYTES = 128
_STATE, _STATE_LISTEN = 0, 10
_BYTES_ACKNOWLEDGED = struct.Struct("=Q"), 120
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: what was not sent is thrown away with the connection."""

log = logging.getLogger(__name__)
Peer = tuple[str, str]
"""Address and port, as the web server writes them for the application."""
ASGI = Callable[[ASGIScope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a worker allows; numbers of connections are this worker's own."""

    first_request_seconds: float
    idle_seconds: float
    bytes_per_second_min: int
    connections_max: int
    per_address_max: int
    """Connections, and over HTTP/2 requests at a time. 0 for no limit."""
    trusted_proxies: tuple[str, ...]


@dataclass(slots=True)
class _Requests:
    """What has come over one connection."""

    begun: int = 0
    worked_on: int = 0
    """How many the application works on; not those for which it waits until the client takes more of the answer."""
    files: int = 0
    """Answers that the web server was given as files, since the client had last taken everything."""
    given: int = 0
    """Bytes that the web server was given in all."""


@dataclass(slots=True)
class _Connection:
    peer: Peer
    address: str
    """Of which there is a limited number; empty for a trusted proxy's."""
    opened: float
    moved: float
    """When a request was last worked on, or enough of an answer taken."""
    acknowledged: int = 0
    begun: int = 0
    worked_on: bool = False


@dataclass
class Watch:
    """An ASGI application around another one, in a worker that listens on `port`. `ended` is told why, and how many."""

    application: ASGI
    port: int
    limits: Limits
    ended: Callable[[str, int], None]
    _requests: dict[Peer, _Requests] = field(default_factory=dict)
    _connections: dict[int, _Connection] = field(default_factory=dict)
    """By the number of the socket's inode, which is no other's while the socket is there."""
    _others: set[int] = field(default_factory=set)
    """Sockets that are no client's, likewise."""
    _multiplexed: Counter[str] = field(default_factory=Counter)
    """Requests over HTTP/2 that are not over, by their address."""
    _warns_from: float = 0.0
    _seconds: float = 0.0
    """Goes on with the looks: while this process is stopped or kept busy, nobody can be blamed for being silent."""

    def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "lifespan":
            return self._live(scope, receive, send)
        if scope.get("http_version") == "2":
            return self._count_and_pass_on(scope, receive, send)
        return self._pass_on(scope, receive, send, is_multiplexed=False)

    async def _count_and_pass_on(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """As `_pass_on`, for so many requests of an address at a time and no more."""
        peer: Any = scope.get("client")
        address = self._counted_address(peer[0]) if peer else ""
        if not address:
            await self._pass_on(scope, receive, send, is_multiplexed=True)
            return
        if self.limits.per_address_max and self._multiplexed[address] >= self.limits.per_address_max:
            self._warn(address, "requests", self._multiplexed[address])
            await _refuse(send)
            return
        self._multiplexed[address] += 1
        try:
            await self._pass_on(scope, receive, send, is_multiplexed=True)
        finally:
            self._multiplexed[address] -= 1
            if not self._multiplexed[address]:
                del self._multiplexed[address]

    async def _pass_on(self, scope: ASGIScope, receive: Receive, send: Send, *, is_multiplexed: bool) -> None:
        """Have the application answer, and note how long it works on that."""
        peer: Any = scope.get("client")
        requests = self._requests.get(peer)
        if requests is None:
            requests = self._requests[peer] = _Requests()
        requests.begun += 1
        requests.worked_on += 1

        async def sending(message: Message) -> None:
            requests.worked_on -= 1
            try:
                size = len(message.get("body", b""))
                requests.given += size
                # Nearly all answers are small: this way of theirs takes 1 microsecond less.
                if size > PIECE_BYTES or (is_multiplexed and message["type"] == _SEND_FILE):
                    await _hand_over(message, send, requests)
                else:
                    await send(message)
            finally:
                requests.worked_on += 1

        try:
            await self.application(scope, receive, sending)
        finally:
            requests.worked_on -= 1

    async def _live(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        looking = asyncio.create_task(self._look_always()) if sys.platform == "linux" else None
        try:
            await self.application(scope, receive, send)
        finally:
            if looking is not None:
                looking.cancel()

    async def _look_always(self) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = time.monotonic()
            self._seconds += min(now - last, 2 * LOOK_SECONDS)
            last = now
            try:
                self._look()
            except OSError as error:
                log.warning("the connections could not be checked: %s", error)

    def _look(self) -> None:
        files = self._find()
        present = {connection.peer for connection in self._connections.values()}
        for peer in [peer for peer, requests in self._requests.items() if not requests.worked_on]:
            if peer not in present:
                del self._requests[peer]
        found: Counter[str] = Counter()
        for inode, reason in self._condemned().items():
            if _end(files[inode], inode):
                found[reason] += 1
            del self._connections[inode]
            self._others.add(inode)
        for reason, count in found.items():
            self.ended(reason, count)

    def _find(self) -> dict[int, int]:
        """Take in what is open now; answers the sockets' file descriptors by their inodes."""
        files: dict[int, int] = {}
        others: set[int] = set()
        with os.scandir(_OPEN_FILES) as entries:
            names = [entry.name for entry in entries]
        for name in names:
            file = int(name)
            inode = _socket_inode(file)
            if not inode:
                continue
            if inode not in self._others and self._take_in(file, inode):
                files[inode] = file
            else:
                others.add(inode)
        self._others = others
        self._connections = {inode: self._connections[inode] for inode in files}
        return files

    def _take_in(self, file: int, inode: int) -> bool:
        """Bring what is known of a connection up to date. False for what is none, or no longer one."""
        try:
            with _borrowed(file, inode) as sock:
                information = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
                connection = self._connections.get(inode)
                if connection is None:
                    if information[_STATE] == _STATE_LISTEN or sock.getsockname()[1] != self.port:
                        return False
                    connection = self._new_connection(*sock.getpeername()[:2])
        except OSError:
            return False  # It has just ended, or is none of TCP's.
        self._connections[inode] = connection
        acknowledged: int = _BYTES_ACKNOWLEDGED[0].unpack_from(information, _BYTES_ACKNOWLEDGED[1])[0]
        requests = self._requests.get(connection.peer)
        begun = requests.begun if requests is not None else 0
        if requests is not None and acknowledged >= requests.given:
            requests.files = 0
        connection.worked_on = requests is not None and requests.worked_on > 0
        enough = max(1.0, self.limits.bytes_per_second_min * (self._seconds - connection.moved))
        if connection.worked_on or begun != connection.begun or acknowledged - connection.acknowledged >= enough:
            connection.moved = self._seconds
            connection.acknowledged = acknowledged
            connection.begun = begun
        return True

    def _new_connection(self, host: str, port: int) -> _Connection:
        peer = host.partition("%")[0], str(port)  # The web server names no zone (`%eth0`).
        return _Connection(peer, self._counted_address(host), self._seconds, self._seconds)

    def _counted_address(self, host: str) -> str:
        """The address of which a limited number of connections and requests is taken; empty for a trusted proxy's."""
        if is_trusted(host, self.limits.trusted_proxies):
            return ""
        return network_of(host.partition("%")[0])

    def _condemned(self) -> dict[int, str]:
        """Which connections to end, and why."""
        limits = self.limits
        is_full = len(self._connections) > limits.connections_max * FULL_PART
        first_request_seconds = min(limits.first_request_seconds, FULL_SECONDS if is_full else float("inf"))
        condemned: dict[int, str] = {}
        by_address: dict[str, list[int]] = {}
        for inode, connection in self._connections.items():
            if connection.worked_on:
                pass
            elif not connection.begun and self._seconds - connection.opened > first_request_seconds:
                condemned[inode] = SILENT
                continue
            elif connection.begun and self._seconds - connection.moved > limits.idle_seconds:
                condemned[inode] = STALLED
                continue
            if limits.per_address_max and connection.address:
                by_address.setdefault(connection.address, []).append(inode)
        for address, inodes in by_address.items():
            excess = len(inodes) - limits.per_address_max
            if excess > 0:
                chosen = self._least(inodes)[:excess]
                condemned |= dict.fromkeys(chosen, CROWDED)
                self._warn(address, "connections", len(inodes))
        return condemned

    def _warn(self, address: str, what: str, count: int) -> None:
        """Now and then: strangers do not fill a disk."""
        if self._seconds >= self._warns_from:
            self._warns_from = self._seconds + WARN_SECONDS
            log.warning(
                "%s has %d %s at this worker, which allows %d per address (server.connections_per_address): more are "
                "closed or refused; if it is a proxy, add it to server.trusted_proxies",
                address,
                count,
                what,
                self.limits.per_address_max,
            )

    def _least(self, inodes: list[int]) -> list[int]:
        """Those of which nobody waits for an answer, in the order in which they are missed the least: first what has
        brought no request, then what has been still for the longest time, of the others the newest."""

        def rank(inode: int) -> tuple[bool, float, float]:
            connection = self._connections[inode]
            return connection.begun > 0, connection.moved, -connection.opened

        return sorted((inode for inode in inodes if not self._connections[inode].worked_on), key=rank)


async def _hand_over(message: Message, send: Send, requests: _Requests) -> None:
    """Give the web server a body or a file in so many pieces that it never holds much of what the client leaves."""
    if message["type"] != _SEND_FILE:
        body, more = message["body"], message.get("more_body", False)
        for start in range(0, len(body), PIECE_BYTES):
            piece = body[start : start + PIECE_BYTES]
            is_last = start + PIECE_BYTES >= len(body)
            await send({"type": message["type"], "body": piece, "more_body": more or not is_last})
    elif requests.files >= FILES_AT_A_TIME_MAX:
        await _send_in_pieces(message["path"], send, requests)
    else:
        requests.files += 1
        requests.given += os.stat(message["path"]).st_size
        await send(message)


async def _send_in_pieces(path: str, send: Send, requests: _Requests) -> None:
    file = await asyncio.to_thread(open, path, "rb", 0)
    with file:
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            requests.given += len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _refuse(send: Send) -> None:
    error = TooManyRequests(
        "too many concurrent requests from this address: send fewer at a time over HTTP/2", RETRY_SECONDS
    )
    response = error_response(error, [])
    response.headers += HARMLESS
    await send_response(response, send, head=False)


def room_for_connections() -> int:
    """How many connections a worker may have open; lets this process and those to come open as many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX * FILES_PER_CONNECTION + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return CONNECTIONS_MAX
    room = max(soft - OTHER_FILES, soft // 2) // FILES_PER_CONNECTION
    log.warning(
        "a process may open only %d files, so a worker accepts at most %d connections: raise the limit (ulimit -n)",
        soft,
        room,
    )
    return room


@contextmanager
def _borrowed(file: int, inode: int) -> Iterator[socket.socket]:
    """The socket behind a file descriptor. Raises OSError when it is no longer that one.

    Others go on to own it: nothing here may close it. Nor is there a copy that could be closed: if meanwhile a thread
    had opened the database in its place, that would free all of this process's locks on it (fcntl, POSIX).
    """
    sock = socket.socket(fileno=file)
    try:
        if os.fstat(file).st_ino != inode:
            raise OSError(errno.EBADF, "another file by now")
        yield sock
    finally:
        sock.detach()


def _socket_inode(file: int) -> int:
    """0 for what is no socket, or nothing any more."""
    try:
        status = os.fstat(file)
    except OSError:
        return 0
    return status.st_ino if stat.S_ISSOCK(status.st_mode) else 0


def _end(file: int, inode: int) -> bool:
    """The web server sees the end of the connection, and closes it. False when it had ended by itself."""
    try:
        with _borrowed(file, inode) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return False
    return True
