"""A registry that runs as a program of its own: what Entrepot and its stand-in have in common."""

import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tests.peers.certificate import Certificate
from tests.peers.process import Server, free_port


class Registry(ABC):
    """Started on a free port of 127.0.0.1; keeps port, data and log over stop, kill and restart."""

    READY_PATH: str

    def __init__(self, directory: Path, *, certificate: Certificate | None = None) -> None:
        self.directory = directory
        self.certificate = certificate
        self.data = directory / "data"
        self.log_path = directory / "registry.log"
        self.username = "admin"
        self.password = ""
        self.port = free_port()
        self.data.mkdir(parents=True, exist_ok=True)
        self._server: Server | None = None

    @abstractmethod
    def _build_server(self) -> Server:
        """The program with its arguments, for the values above."""

    @property
    def server(self) -> Server:
        """The process: its id, its memory."""
        if self._server is None:
            self._server = self._build_server()
        return self._server

    @property
    def host(self) -> str:
        """As in an image's name: `127.0.0.1:PORT`."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.certificate else 'http'}://{self.host}"

    def client(self, *, anonymous: bool = False) -> httpx.Client:
        """An HTTP client for `url`, as the admin with Basic credentials or as nobody."""
        return httpx.Client(
            base_url=self.url,
            auth=None if anonymous else (self.username, self.password),
            verify=self.certificate.client_context() if self.certificate else False,
            timeout=60,
            trust_env=False,
        )

    def start(self) -> None:
        """Start, and return when it is ready to serve."""
        with self.client(anonymous=True) as client:
            self.server.start(lambda: self._is_ready(client))

    def stop(self) -> None:
        """Orderly end by SIGTERM; raises if the server had died, hangs, or leaves processes."""
        self.server.stop()

    def kill(self) -> None:
        """SIGKILL to the server and its workers, as a crash would."""
        self.server.kill()

    def restart(self) -> None:
        """Stop (unless it was killed) and start again on the same data and the same port."""
        if self.server.started:
            self.stop()
        self.start()

    def remove_data(self) -> None:
        """Give the disk space back once the server is stopped; the log stays."""
        shutil.rmtree(self.data)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.server.started:
            self.stop()

    def _is_ready(self, client: httpx.Client) -> bool:
        try:
            return client.get(self.READY_PATH, timeout=5).status_code == 200
        except httpx.TransportError:
            return False
