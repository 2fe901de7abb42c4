"""The proxies of the operating guide, as they are written there: what is silent gives way, what is slow does not."""

import os
import re
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from entrepot.principal import SCOPES_MAX
from tests.hostile.crowd import Begin, eventually, held, in_tls, kept, silently
from tests.hostile.http2 import PREFACE, SETTINGS, frame
from tests.hostile.target import Target, sha256
from tests.peers.certificate import Certificate
from tests.peers.entrepot import Entrepot
from tests.peers.haproxy import ConfiguredHAProxy, pem
from tests.peers.nginx import ConfiguredNginx
from tests.peers.process import free_port
from tests.peers.proxy import Proxy
from tests.services import guide

GUIDE, HEADING = "operating.md", "Behind a proxy"
REPOSITORY = "proxies/app"
PER_ADDRESS = 256
CROWD = 200
BIG_BYTES = 16 * 1024 * 1024
SECONDS_OF_PATIENCE = 3
SLOW_BYTES = 100_000
"""Twice a second: for so little patience what 10 KB/s are for a minute's."""
SLOW_TURNS = 4 * SECONDS_OF_PATIENCE * 2


@dataclass(frozen=True)
class Site:
    name: str
    target: Target
    proxy: Proxy
    certificate: Certificate
    big_blob: bytes

    def connect(self, source: str = "127.0.0.1", receive_bytes: int = 0) -> socket.socket:
        plain = socket.socket()
        if receive_bytes:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        plain.settimeout(60)
        plain.bind((source, 0))
        # Before it is connected: a socket whose other side is gone already would be left open when it is wrapped.
        secured = self.context().wrap_socket(plain, server_hostname="127.0.0.1")
        try:
            secured.connect(("127.0.0.1", self.proxy.port))
        except BaseException:
            secured.close()
            raise
        return secured

    def context(self, protocol: str = "http/1.1") -> ssl.SSLContext:
        context = self.certificate.client_context()
        context.set_alpn_protocols([protocol])
        return context

    def status(self, source: str = "127.0.0.1") -> int:
        """Of a request that somebody makes who is in earnest."""
        with self.connect(source) as connection:
            connection.sendall(self.target.request("GET", "/v2/"))
            return int(connection.recv(4096).split(b" ", 2)[1])

    def ask_for_big_blob(self) -> bytes:
        return self.target.request("GET", f"/v2/{REPOSITORY}/blobs/{sha256(self.big_blob)}")


@pytest.fixture(scope="module", params=["haproxy", "nginx"])
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificate: Certificate
) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp(request.param)
    with Entrepot(directory, config='[server]\ntrusted_proxies = ["127.0.0.1"]\n') as server:
        target = Target(server)
        big_blob = os.urandom(BIG_BYTES)
        target.push_blob(REPOSITORY, big_blob)
        with _proxy(request.param, directory, server.host, certificate, SECONDS_OF_PATIENCE) as proxy:
            yield Site(request.param, target, proxy, certificate, big_blob)
    server.remove_data()


def _proxy(name: str, directory: Path, backend: str, certificate: Certificate, patience: int | None = None) -> Proxy:
    """As in the guide; `patience` in the place of its times of up to a minute."""
    host = f"127.0.0.1:{free_port()}"
    text = guide.replaced(guide.code(GUIDE, HEADING, name), ("127.0.0.1:5000", backend))
    if patience is not None:
        text, changed = re.subn(r"\b(10|30|60)s", f"{patience}s", text)
        assert changed == (3 if name == "haproxy" else 4)
    if name == "haproxy":
        pair = str(pem(directory, certificate))
        text = guide.replaced(text, ("bind :443", f"bind {host}"), ("/etc/haproxy/registry.pem", pair))
        return ConfiguredHAProxy(directory, host, text)
    text = guide.replaced(
        text,
        ("listen 443", f"listen {host}"),
        ("/etc/nginx/registry.crt", str(certificate.certificate)),
        ("/etc/nginx/registry.key", str(certificate.key)),
    )
    return ConfiguredNginx(directory, host, text)


def test_clients_are_told_the_address_that_they_use(site: Site) -> None:
    """Else they ask for a token at http://, some with the password in clear."""
    with site.connect() as connection:
        connection.sendall(site.target.request("GET", "/v2/", [], authorization=None))
        answer = connection.recv(4096).decode()
    assert 'realm="https://' in answer


def test_token_for_many_repositories_is_got_and_used(site: Site) -> None:
    """Asked for in a query of 60 KB, and then in a header of nearly 8 KiB."""
    names = [REPOSITORY, *(f"proxies/{number:04d}-{'x' * 15}" for number in range(SCOPES_MAX - 1))]
    query = "&".join(f"scope=repository:{name}:pull" for name in names)
    with httpx.Client(
        base_url=f"https://127.0.0.1:{site.proxy.port}", verify=site.certificate.client_context()
    ) as client:
        answer = client.get(f"/token?{query}", auth=("admin", site.target.server.password))
        assert answer.status_code == 200, answer.text
        token = answer.json()["token"]
        assert len(token) > 7000
        used = client.get(f"/v2/{REPOSITORY}/tags/list", headers={"authorization": f"Bearer {token}"})
    assert used.status_code == 200, used.text


def test_connections_that_say_nothing_are_closed(site: Site) -> None:
    _give_way(site, silently)


def test_connections_that_stop_after_the_handshake_are_closed(site: Site) -> None:
    _give_way(site, in_tls(site.context()))


def test_connections_that_stop_after_the_preface_of_http2_are_closed(site: Site) -> None:
    _give_way(site, _saying(site.context("h2"), PREFACE + frame(SETTINGS, 0, 0)))


def test_connections_that_do_not_read_are_closed(site: Site) -> None:
    _give_way(site, _saying(site.context(), site.ask_for_big_blob()))


def _give_way(site: Site, begin: Begin) -> None:
    with held(site.proxy.port, CROWD, begin) as sockets:
        assert site.status() == 200
        eventually(lambda: kept(site.proxy.port, sockets) == 0, "connections that do nothing are kept")


def _saying(context: ssl.SSLContext, words: bytes) -> Begin:
    def begin(made: socket.socket) -> socket.socket:
        secured = context.wrap_socket(made, server_hostname="127.0.0.1")
        secured.sendall(words)
        return secured

    return begin


def test_one_address_has_its_share_of_connections(site: Site, tmp_path: Path) -> None:
    with _proxy(site.name, tmp_path, site.target.server.host, site.certificate) as proxy:
        patient = replace(site, proxy=proxy)
        begin = _saying(site.context(), site.ask_for_big_blob())
        with held(proxy.port, PER_ADDRESS, begin, source="127.0.0.2"):
            try:
                assert patient.status("127.0.0.2") == 429
            except (ConnectionError, ssl.SSLError):
                pass
            assert patient.status("127.0.0.3") == 200


def test_push_that_is_slow_is_taken(site: Site) -> None:
    piece = os.urandom(SLOW_BYTES)
    content = piece * SLOW_TURNS
    path = f"{site.target.start_upload(REPOSITORY)}?digest={sha256(content)}"
    with site.connect() as connection:
        connection.sendall(site.target.request("PUT", path, [("Content-Length", str(len(content)))]))
        for _ in range(SLOW_TURNS):
            connection.sendall(piece)
            time.sleep(0.5)
        assert connection.recv(4096).startswith(b"HTTP/1.1 201")


def test_pull_that_is_slow_is_served(site: Site) -> None:
    received = bytearray()
    with site.connect(receive_bytes=64 * 1024) as connection:
        connection.sendall(site.ask_for_big_blob())
        for _ in range(SLOW_TURNS):
            wanted = len(received) + SLOW_BYTES
            while len(received) < wanted and (piece := connection.recv(wanted - len(received))):
                received += piece
            time.sleep(0.5)
        assert len(received) < len(site.big_blob)
        while piece := connection.recv(1024 * 1024):
            received += piece
    assert received.partition(b"\r\n\r\n")[2] == site.big_blob
