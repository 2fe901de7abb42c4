"""A slow way to a server: what goes through a connection of its, in each direction, goes at a rate that a test sets."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self

PIECE_BYTES = 32 * 1024
BUFFER_BYTES = 64 * 1024
"""What the kernel may take ahead, so that whoever sends notices the rate."""


class SlowWay:
    """Connections to `port` go on to `target_port` of the same machine."""

    def __init__(self, target_port: int, bytes_per_second: int) -> None:
        self._target_port = target_port
        self._bytes_per_second = bytes_per_second
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self.port = self._listening.getsockname()[1]
        self._begin(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with ExitStack() as ends:
            self._shut(self._listening)
            self._threads[0].join()
            for end in (self._listening, *self._sockets):
                ends.callback(end.close)
                self._shut(end)
            for thread in self._threads:
                thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.socket()
                self._sockets += [client, server]
                server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
                server.connect(("127.0.0.1", self._target_port))
                self._begin(self._pass, client, server)
                self._begin(self._pass, server, client)

    def _begin(self, function: Callable[..., None], *ends: socket.socket) -> None:
        thread = threading.Thread(target=function, args=ends)
        self._threads.append(thread)
        thread.start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(PIECE_BYTES):
                target.sendall(piece)
                time.sleep(len(piece) / self._bytes_per_second)
        self._shut(source)
        self._shut(target)

    def _shut(self, end: socket.socket) -> None:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
