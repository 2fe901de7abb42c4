"""HAProxy in front of a registry."""

from pathlib import Path

from tests.peers.certificate import Certificate
from tests.peers.presence import require_program
from tests.peers.process import free_port
from tests.peers.proxy import Proxy


def pem(directory: Path, certificate: Certificate) -> Path:
    """Certificate and key in one file, as HAProxy wants them."""
    pair = directory / "haproxy.pem"
    pair.write_bytes(certificate.certificate.read_bytes() + certificate.key.read_bytes())
    return pair


class ConfiguredHAProxy(Proxy):
    """With any configuration that listens on `host`."""

    def __init__(self, directory: Path, host: str, text: str) -> None:
        configuration = directory / "haproxy.cfg"
        configuration.write_text(text)
        program = require_program("haproxy", package="haproxy")
        super().__init__(host, [program, "-db", "-f", configuration], directory / "haproxy.log")


class HAProxy(ConfiguredHAProxy):
    """Sends everything to `backend` (host:port); clients may show a certificate of `clients_ca`, which it hands over
    (RFC 9440)."""

    def __init__(self, directory: Path, backend: str, certificate: Certificate, clients_ca: Path) -> None:
        host = f"127.0.0.1:{free_port()}"
        text = f"""
global
    log stdout format raw local0
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend registry
    bind {host} ssl crt {pem(directory, certificate)} ca-file {clients_ca} verify optional
    http-request del-header Client-Cert
    http-request set-header Client-Cert :%[ssl_c_der,base64]: if {{ ssl_c_used }}
    option forwardfor
    default_backend entrepot
backend entrepot
    server entrepot {backend}
"""
        super().__init__(directory, host, text)
