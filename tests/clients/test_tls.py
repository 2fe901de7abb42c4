"""Clients that are told whom to trust reach a registry that speaks TLS; the others do not."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.clients.conftest import Client
from tests.clients.images import read_layout, runnable_image, unique_image, unique_index
from tests.clients.registry_content import registry_content
from tests.peers.certificate import Certificate
from tests.peers.containerd import Containerd
from tests.peers.distribution import Distribution
from tests.peers.docker import DockerEngine
from tests.peers.entrepot import Entrepot
from tests.peers.registry import Registry


@pytest.fixture(scope="module")
def tls_registry(
    registry_kind: type[Entrepot] | type[Distribution],
    certificate: Certificate,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Registry]:
    with registry_kind(tmp_path_factory.mktemp("tls"), certificate=certificate) as server:
        yield server
    server.remove_data()


@pytest.fixture
def trusting_crane(crane: Client, tls_registry: Registry, certificate: Certificate) -> Client:
    """crane with a login, and with the server's certificate among those it trusts."""
    trust = {"SSL_CERT_FILE": str(certificate.certificate)}
    trusting = replace(crane, environment=crane.environment | trust)
    login = ("-u", tls_registry.username, "-p", tls_registry.password)
    trusting("auth", "login", tls_registry.host, *login)
    return trusting


def test_crane_pulls_over_tls_what_it_pushed(trusting_crane: Client, tls_registry: Registry, tmp_path: Path) -> None:
    made = unique_index()
    name = f"{tls_registry.host}/clients/tls:crane"
    trusting_crane("push", made.write_layout(tmp_path / "layout"), name)
    assert registry_content(tls_registry, "clients/tls", "crane") == made.content
    trusting_crane("pull", "--format", "oci", name, tmp_path / "pulled")
    assert read_layout(tmp_path / "pulled") == made.content


def test_skopeo_reaches_only_a_registry_that_it_trusts(
    skopeo: Client, tls_registry: Registry, certificate: Certificate, tmp_path: Path
) -> None:
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    (trusted / "ca.crt").write_bytes(certificate.certificate.read_bytes())
    made = unique_index()
    layout = made.write_layout(tmp_path / "layout", tag="made")
    name = f"docker://{tls_registry.host}/clients/tls:skopeo"
    login = ("--dest-creds", f"{tls_registry.username}:{tls_registry.password}")
    copy = ("copy", "--all", "--preserve-digests", *login)
    skopeo(*copy, f"oci:{layout}:made", name, succeeds=False)
    skopeo(*copy, "--dest-cert-dir", trusted, f"oci:{layout}:made", name)
    assert registry_content(tls_registry, "clients/tls", "skopeo") == made.content


def test_kubelet_path_pulls_over_tls(
    containerd: Containerd,
    trusting_crane: Client,
    tls_registry: Registry,
    certificate: Certificate,
    tmp_path: Path,
) -> None:
    made = unique_image()
    name = f"{tls_registry.host}/clients/tls:cri"
    trusting_crane("push", made.write_layout(tmp_path / "layout"), name)
    credentials = f"{tls_registry.username}:{tls_registry.password}"
    containerd.trust(tls_registry.host, certificate)
    assert made.manifest["config"]["digest"] in containerd.crictl("pull", name, credentials=credentials).stdout
    for digest, content in made.content.items():
        assert containerd.content(digest) == content
    containerd.crictl("rmi", name)


def test_docker_runs_an_image_that_it_pulled_over_tls(
    docker_engine: DockerEngine,
    trusting_crane: Client,
    tls_registry: Registry,
    busybox: Path,
    tmp_path: Path,
) -> None:
    made = runnable_image("hello over TLS", busybox=busybox)
    name = f"{tls_registry.host}/clients/tls:docker"
    trusting_crane("push", made.write_layout(tmp_path / "layout"), name)
    config = tmp_path / "docker"
    docker_engine.run(
        *(
            "login",
            "--username",
            tls_registry.username,
            "--password-stdin",
            tls_registry.host,
        ),
        config=config,
        stdin=tls_registry.password,
    )
    docker_engine.run("pull", name, config=config)
    ran = docker_engine.run("run", "--rm", "--network=host", name, config=config)
    assert ran.stdout == "hello over TLS"
    docker_engine.run("image", "rm", name, config=config)
