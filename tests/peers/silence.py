"""A server that accepts connections and never says a word."""

import socket
from types import TracebackType
from typing import Self

BACKLOG = 64


class Silence:
    """The kernel completes the connections; nobody reads what is sent."""

    def __enter__(self) -> Self:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.port = self._socket.getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()

    def connections(self) -> int:
        """How many have come since this was last asked."""
        self._socket.setblocking(False)
        count = 0
        while True:
            try:
                taken, _ = self._socket.accept()
            except BlockingIOError:
                return count
            taken.close()
            count += 1
