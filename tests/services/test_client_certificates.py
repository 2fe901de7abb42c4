"""Signing in by a client certificate, with HAProxy in front: who it names, and what everybody else could pretend."""

import base64
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate
from cryptography.x509.oid import ExtendedKeyUsageOID
from sqlalchemy import Connection

from entrepot import settings
from entrepot.cli import direct
from entrepot.clock import system_clock
from entrepot.identity import users
from tests.peers.certificate import Authority, Certificate
from tests.peers.entrepot import Entrepot
from tests.peers.haproxy import HAProxy


@dataclass(frozen=True)
class Site:
    server: Entrepot
    proxy: HAProxy
    certificate: Certificate
    clients: Authority
    strangers: Authority

    def client(self, shown: Certificate | None = None) -> httpx.Client:
        """Through the proxy, with a certificate or without."""
        context = ssl.create_default_context(cafile=str(self.certificate.certificate))
        if shown is not None:
            context.load_cert_chain(shown.certificate, shown.key)
        return httpx.Client(base_url=self.proxy.url, verify=context)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("certificates")
    clients, strangers = Authority(_made(directory / "ours")), Authority(_made(directory / "theirs"), "Strangers")
    both = directory / "both.crt"
    both.write_bytes(clients.certificate.read_bytes() + strangers.certificate.read_bytes())
    config = f"""
[server]
trusted_proxies = ["127.0.0.1"]
[[providers]]
type = "certificate"
name = "staff"
ca_file = "{clients.certificate}"
"""
    with (
        Entrepot(_made(directory / "registry"), config=config) as server,
        # The proxy believes more authorities than the registry does.
        HAProxy(directory, server.host, certificate, both) as proxy,
    ):
        yield Site(server, proxy, certificate, clients, strangers)


def test_client_with_a_certificate_is_who_it_names(site: Site) -> None:
    with site.client(site.clients.issue("alice")) as client:
        assert client.get("/v2/").status_code == 200
        refused = client.get("/v2/team/app/tags/list")

    assert refused.status_code == 403
    assert soon(lambda: '"user":"staff:alice"' in site.server.log_path.read_text())


def test_token_of_who_has_not_come_with_a_certificate_for_long_is_refused(site: Site) -> None:
    with site.client(site.clients.issue("gone-since")) as holder, site.server.client(anonymous=True) as laptop:
        made = holder.post("/api/v1/account/tokens", json={"name": "laptop"}).json()
        laptop.auth = (made["username"], made["secret"])
        assert laptop.get("/v2/").status_code == 200

        def long_ago(connection: Connection) -> None:
            user = users.require(connection, "staff", "gone-since")
            users.change(connection, user, refreshed_at_ms=system_clock() - 31 * 24 * 3600 * 1000)

        direct.write(settings.load(None, {}, {"data": site.server.data}), long_ago)
        refused = laptop.get("/v2/")
        assert refused.status_code == 401
        assert "30 days" in refused.json()["errors"][0]["message"]


def test_client_without_a_certificate_is_nobody(site: Site) -> None:
    with site.client() as client:
        assert client.get("/v2/").status_code == 401


def test_header_that_a_client_sends_through_the_proxy_is_not_its_certificate(site: Site) -> None:
    with site.client() as client:
        answer = client.get("/v2/", headers={"client-cert": header(site.clients.issue("mallory"))})

    assert answer.status_code == 401


@pytest.mark.parametrize("usage", [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CODE_SIGNING])
def test_certificate_for_something_else_is_refused(site: Site, usage: object) -> None:
    made = site.clients.issue("server", usage=usage)  # type: ignore[arg-type]

    assert ask_directly(site, header(made)).status_code == 401


def test_certificate_of_another_authority_is_refused(site: Site) -> None:
    with site.client(site.strangers.issue("alice")) as client:
        assert client.get("/v2/").status_code == 401


def test_certificate_that_has_expired_is_refused(site: Site) -> None:
    made = site.clients.issue("late", lasts=-timedelta(hours=1))

    assert ask_directly(site, header(made)).status_code == 401


@pytest.mark.parametrize("text", ["", ":", "::", ":bm90IGEgY2VydGlmaWNhdGU=:", "x" * 100_000, ":%%%:", "bm90:"])
def test_header_that_is_no_certificate_is_refused(site: Site, text: str) -> None:
    assert ask_directly(site, text).status_code in {401, 431}


def test_header_from_an_address_that_is_no_proxy_is_not_looked_at(site: Site, tmp_path: Path) -> None:
    config = f'[[providers]]\ntype = "certificate"\nname = "staff"\nca_file = "{site.clients.certificate}"\n'
    with Entrepot(_made(tmp_path / "alone"), config=config, workers=1) as server:
        with server.client(anonymous=True) as client:
            answer = client.get("/v2/", headers={"client-cert": header(site.clients.issue("alice"))})
        assert answer.status_code == 401
        assert "invalid_token" not in answer.headers["www-authenticate"]


def soon(holds: Callable[[], bool]) -> bool:
    """The log is written with a little delay."""
    for _ in range(100):
        if holds():
            return True
        time.sleep(0.05)
    return False


def header(shown: Certificate) -> str:
    der = load_pem_x509_certificate(shown.certificate.read_bytes()).public_bytes(Encoding.DER)
    return f":{base64.b64encode(der).decode()}:"


def ask_directly(site: Site, text: str) -> httpx.Response:
    """As the proxy would, whose address this machine has."""
    with site.server.client(anonymous=True) as client:
        return client.get("/v2/", headers={"client-cert": text})


def _made(directory: Path) -> Path:
    directory.mkdir(exist_ok=True)
    return directory
