"""The certificate's files are replaced under the running server: new connections see it, old ones are not disturbed."""

import random
import shutil
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

from tests.clients.images import digest_of
from tests.durability.conftest import MakeEntrepot
from tests.durability.exchange import Connection, request
from tests.durability.processes import wait_for_family
from tests.durability.pushes import finishing, half_sent, start_upload
from tests.peers.certificate import Certificate, self_signed
from tests.peers.entrepot import Entrepot

REPOSITORY = "durability/certificates"
WAIT_SECONDS_MAX = 90
POLL_SECONDS = 0.2
STEADY_CONNECTIONS = 10
"""In a row that have to see the new certificate: there are several workers."""


@dataclass(frozen=True)
class AnyCertificate(Certificate):
    """Files that a server shows, and that change: a client has to look at what it is shown by itself."""

    def client_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context


def _made(directory: Path) -> Certificate:
    directory.mkdir()
    return self_signed(directory)


def _der(certificate: Certificate) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.certificate.read_text())


def _shown(registry: Entrepot) -> bytes:
    with Connection(registry) as connection:
        return connection.peer_certificate()


def _wait_until_shown(registry: Entrepot, certificate: Certificate) -> None:
    expected, seen = _der(certificate), 0
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while seen < STEADY_CONNECTIONS:
        assert time.monotonic() < deadline, "the new certificate is not shown"
        try:
            seen = seen + 1 if _shown(registry) == expected else 0
        except (ConnectionError, ssl.SSLError):
            registry.server.check_alive()
            seen = 0
        if not seen:
            time.sleep(POLL_SECONDS)


def test_certificate_replaced_is_shown_once_it_can_be_used_and_an_upload_in_flight_finishes(
    make_entrepot: MakeEntrepot, tmp_path: Path
) -> None:
    """A file each, renamed into place one after the other, as certificate tools do: the first alone is no pair."""
    first, second = _made(tmp_path / "first"), _made(tmp_path / "second")
    files = AnyCertificate(tmp_path / "tls.crt", tmp_path / "tls.key")
    shutil.copy(first.certificate, files.certificate)
    shutil.copy(first.key, files.key)
    registry = make_entrepot(certificate=files, config="[server]\ndrain_seconds = 1\n")
    registry.start()
    wait_for_family(registry)
    assert _shown(registry) == _der(first)
    content = random.Random(1).randbytes(2_000_000)
    with Connection(registry) as connection:
        location = start_upload(connection, REPOSITORY)
    with half_sent(registry, "PATCH", location, content, 1_000_000) as connection:
        files.certificate.write_text("this is no certificate\n")
        _wait_for_log(registry, "cannot be used", times=1)
        second.certificate.replace(files.certificate)
        _wait_for_log(registry, "cannot be used", times=2)
        for _ in range(STEADY_CONNECTIONS):
            assert _shown(registry) == _der(first)
        second.key.replace(files.key)
        _wait_until_shown(registry, files)
        # Longer than a server that ends would wait for it.
        time.sleep(2)
        connection.send(content[1_000_000:])
        answer = connection.answer()
        assert answer.status == 202, answer
    assert request(registry, "PUT", finishing(location, content)).status == 201
    assert request(registry, "GET", f"/v2/{REPOSITORY}/blobs/{digest_of(content)}").body == content
    registry.stop()


def test_certificate_behind_links_that_move_is_shown_after_the_old_one_is_gone(
    make_entrepot: MakeEntrepot, tmp_path: Path
) -> None:
    """As Kubernetes mounts a secret: files are links through a directory that is a link, and that is replaced."""
    first, second = _made(tmp_path / "first"), _made(tmp_path / "second")
    current = tmp_path / "current"
    current.symlink_to(first.certificate.parent)
    for name in ("server.crt", "server.key"):
        (tmp_path / name).symlink_to(current / name)
    registry = make_entrepot(certificate=AnyCertificate(tmp_path / "server.crt", tmp_path / "server.key"), workers=1)
    registry.start()
    wait_for_family(registry, workers=1)
    assert _shown(registry) == _der(first)
    (tmp_path / "next").symlink_to(second.certificate.parent)
    (tmp_path / "next").replace(current)
    shutil.rmtree(first.certificate.parent)
    _wait_until_shown(registry, second)
    registry.stop()


def _wait_for_log(registry: Entrepot, words: str, *, times: int) -> None:
    """Until the server has said this so many times."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while registry.log_path.read_text().count(words) < times:
        assert time.monotonic() < deadline, "the server did not notice"
        time.sleep(POLL_SECONDS)
