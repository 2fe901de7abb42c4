"""A proxy in front of a registry, as a program of its own."""

import socket
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.peers.process import Server


class Proxy:
    """Speaks TLS on `host` (address:port) once it is started."""

    def __init__(self, host: str, command: Sequence[str | Path], log_path: Path) -> None:
        self.host = host
        self.url = f"https://{host}"
        self.log_path = log_path
        self.server = Server(command, log_path=log_path)

    @property
    def port(self) -> int:
        return int(self.host.rpartition(":")[2])

    def __enter__(self) -> Self:
        self.server.start(self._answers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.server.kill()

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((self.host.partition(":")[0], self.port)) == 0
