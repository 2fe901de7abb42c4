"""Somebody who pushes and never pulls, as a build should: every client looks first whether the content is there."""

import secrets
import tarfile
from pathlib import Path

import pytest

from tests.clients.conftest import Client
from tests.clients.images import unique_image, unique_index
from tests.clients.registry_content import registry_content
from tests.peers.docker import DockerEngine
from tests.peers.entrepot import Entrepot
from tests.peers.registry import Registry

PASSWORD = "only ever pushes, never pulls"


@pytest.fixture
def pusher(registry: Registry) -> str:
    """The name of a user who may push, and do nothing else."""
    if not isinstance(registry, Entrepot):
        pytest.skip("roles are Entrepot's")
    name = f"pusher-{secrets.token_hex(3)}"
    with registry.client() as admin:
        admin.put("/api/v1/roles/pusher", json={"permissions": ["repository:push"]}).raise_for_status()
        admin.put(f"/api/v1/users/local/{name}", json={"password": PASSWORD}).raise_for_status()
        place = {"kind": "namespace", "path": "clients/push-only"}
        grant = {"role": "pusher", "subject": {"user": f"local:{name}"}, "place": place}
        admin.post("/api/v1/grants", json=grant).raise_for_status()
    return name


def test_docker_pushes(docker_engine: DockerEngine, registry: Registry, pusher: str, tmp_path: Path) -> None:
    made = unique_image().write_layout(tmp_path / "layout", tag="made")
    config = tmp_path / "docker"
    log_in = ("login", "--username", pusher, "--password-stdin", registry.host)
    docker_engine.run(*log_in, config=config, stdin=PASSWORD)
    source = f"{registry.host}/clients/push-only/docker:v1"
    files = tmp_path / "files.tar"
    _tar(made, files)
    docker_engine.run("import", files, source, config=config)

    for _ in range(2):
        docker_engine.run("push", source, config=config)
    assert registry_content(registry, "clients/push-only/docker", "v1")
    assert docker_engine.run("pull", source, config=config, succeeds=False).returncode != 0


def test_crane_pushes(crane: Client, registry: Registry, pusher: str, tmp_path: Path) -> None:
    made = unique_index()
    crane("auth", "login", registry.host, "-u", pusher, "-p", PASSWORD)
    name = f"{registry.host}/clients/push-only/crane:v1"

    for _ in range(2):
        crane("push", made.write_layout(tmp_path / secrets.token_hex(3)), name)
    assert registry_content(registry, "clients/push-only/crane", "v1") == made.content
    assert crane("pull", name, tmp_path / "pulled", succeeds=False).returncode != 0


def test_skopeo_pushes(skopeo: Client, registry: Registry, pusher: str, tmp_path: Path) -> None:
    made = unique_image()
    skopeo("login", "--tls-verify=false", "--username", pusher, "--password-stdin", registry.host, stdin=PASSWORD)
    layout = made.write_layout(tmp_path / "layout", tag="made")
    name = f"docker://{registry.host}/clients/push-only/skopeo:v1"

    for _ in range(2):
        skopeo("copy", "--preserve-digests", "--dest-tls-verify=false", f"oci:{layout}:made", name)
    assert registry_content(registry, "clients/push-only/skopeo", "v1") == made.content


def test_oras_pushes(oras: Client, registry: Registry, pusher: str, tmp_path: Path) -> None:
    log_in = ("login", "--plain-http", "--username", pusher, "--password-stdin", registry.host)
    oras(*log_in, stdin=PASSWORD)
    (tmp_path / "report").write_bytes(secrets.token_bytes(100_000))
    name = f"{registry.host}/clients/push-only/oras:v1"

    for _ in range(2):
        oras("push", "--plain-http", name, "report:application/vnd.example.report", directory=tmp_path)
    assert (tmp_path / "report").read_bytes() in registry_content(registry, "clients/push-only/oras", "v1").values()


def _tar(layout: Path, into: Path) -> None:
    with tarfile.open(into, "w") as archive:
        archive.add(layout, "layout")
