"""Many connections at a time that somebody holds and does nothing with."""

import resource
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.hostile.wire import SECONDS_MAX

POLL_SECONDS = 0.1
_ESTABLISHED = 1

Begin = Callable[[socket.socket], socket.socket]
"""What is done with a new connection before nothing more is; answers what is to be held."""


@contextmanager
def held(port: int, count: int, begin: Begin, source: str = "127.0.0.1") -> Iterator[list[socket.socket]]:
    """That many connections, open until the end, whatever the server does."""
    _may_open(count + 500)
    sockets: list[socket.socket] = []
    try:
        for _ in range(count):
            made = socket.create_connection(("127.0.0.1", port), SECONDS_MAX, (source, 0))
            sockets.append(made)
            sockets[-1] = begin(made)
        yield sockets
    finally:
        for held_socket in sockets:
            held_socket.close()


def silently(made: socket.socket) -> socket.socket:
    return made


def saying(words: bytes) -> Begin:
    """Send this, and read nothing."""

    def begin(made: socket.socket) -> socket.socket:
        made.sendall(words)
        return made

    return begin


def in_tls(context: ssl.SSLContext) -> Begin:
    """Finish the handshake."""
    return lambda made: context.wrap_socket(made, server_hostname="127.0.0.1")


def still_open(sockets: Sequence[socket.socket]) -> int:
    """How many the other side has not ended; by the kernel's word, as there may be much that is not read."""
    return sum(
        held_socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED for held_socket in sockets
    )


def kept(port: int, sockets: Sequence[socket.socket]) -> int:
    """How many the server itself still has open: what it has ended may not get through to who does not read."""
    ours = {held_socket.getsockname()[1] for held_socket in sockets}
    found = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote, state = line.split()[1:4]
        found += _port(local) == port and _port(remote) in ours and int(state, 16) == _ESTABLISHED
    return found


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def eventually(holds: Callable[[], bool], why: str) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not holds():
        assert time.monotonic() < deadline, why
        time.sleep(POLL_SECONDS)


def _may_open(files: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
