"""HAProxy in front of a registry: it speaks TLS, asks clients for certificates, and hands those over (RFC 9440)."""

import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.peers.certificate import Certificate
from tests.peers.presence import require_program
from tests.peers.process import Server, free_port


class HAProxy:
    """Sends everything to `backend` (host:port); clients may show a certificate of `clients_ca`."""

    def __init__(self, directory: Path, backend: str, certificate: Certificate, clients_ca: Path) -> None:
        self.host = f"127.0.0.1:{free_port()}"
        self.url = f"https://{self.host}"
        self.log_path = directory / "haproxy.log"
        pair = directory / "haproxy.pem"
        pair.write_bytes(certificate.certificate.read_bytes() + certificate.key.read_bytes())
        configuration = directory / "haproxy.cfg"
        configuration.write_text(f"""
global
    log stdout format raw local0
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend registry
    bind {self.host} ssl crt {pair} ca-file {clients_ca} verify optional
    http-request del-header Client-Cert
    http-request set-header Client-Cert :%[ssl_c_der,base64]: if {{ ssl_c_used }}
    option forwardfor
    default_backend entrepot
backend entrepot
    server entrepot {backend}
""")
        program = require_program("haproxy", package="haproxy")
        self.server = Server([program, "-db", "-f", configuration], log_path=self.log_path)

    def __enter__(self) -> Self:
        self.server.start(self._answers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.server.kill()

    def _answers(self) -> bool:
        host, _, port = self.host.partition(":")
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) == 0
