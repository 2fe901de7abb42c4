"""Docker's engine pushes, pulls and runs."""

import gzip
import json
import secrets
from pathlib import Path

import pytest

from tests.clients.conftest import Client
from tests.clients.images import (
    DOCKER,
    OCI,
    Format,
    layer,
    runnable_image,
    unique_image,
    unique_index,
)
from tests.clients.refusal import assert_refused
from tests.clients.registry_content import manifest_digest, registry_content
from tests.peers.docker import DockerEngine
from tests.peers.registry import Registry


@pytest.fixture
def login(docker_engine: DockerEngine, registry: Registry, tmp_path: Path) -> Path:
    """The client's directory after a login."""
    config = tmp_path / "docker"
    docker_engine.run(
        *("login", "--username", registry.username, "--password-stdin", registry.host),
        config=config,
        stdin=registry.password,
    )
    return config


def test_docker_login_with_wrong_password_is_refused(
    docker_engine: DockerEngine, registry: Registry, tmp_path: Path
) -> None:
    refused = docker_engine.run(
        *("login", "--username", registry.username, "--password-stdin", registry.host),
        config=tmp_path / "docker",
        stdin="not the password",
        succeeds=False,
    )
    assert_refused(refused)


@pytest.mark.parametrize("format", [OCI, DOCKER], ids=["oci", "docker"])
def test_docker_pulls_runs_and_pushes_an_image(
    docker_engine: DockerEngine,
    registry: Registry,
    login: Path,
    crane: Client,
    busybox: Path,
    tmp_path: Path,
    format: Format,
) -> None:
    greeting = f"hello from {format.manifest}"
    made = runnable_image(greeting, busybox=busybox, format=format)
    name = f"{registry.host}/clients/docker"
    layout = made.write_layout(tmp_path / "layout")
    crane("auth", "login", registry.host, "-u", registry.username, "-p", registry.password)
    crane("push", layout, f"{name}:made")
    assert registry_content(registry, "clients/docker", "made") == made.content

    docker_engine.run("pull", f"{name}:made", config=login)
    seen = docker_engine.run("image", "inspect", f"{name}:made", config=login)
    inspected = json.loads(seen.stdout)[0]
    assert inspected["Id"] == made.manifest["config"]["digest"]
    assert inspected["RepoDigests"] == [f"{name}@{made.digest}"]
    ran = docker_engine.run("run", "--rm", "--network=host", f"{name}:made", config=login)
    assert ran.stdout == greeting

    docker_engine.run("tag", f"{name}:made", f"{name}:pushed", config=login)
    pushed = docker_engine.run("push", f"{name}:pushed", config=login)
    digest = manifest_digest(registry, "clients/docker", "pushed")
    assert digest in pushed.stdout
    registry_content(registry, "clients/docker", "pushed")

    docker_engine.run("image", "rm", f"{name}:made", f"{name}:pushed", config=login)
    docker_engine.run("pull", f"{name}@{digest}", config=login)
    ran = docker_engine.run("run", "--rm", "--network=host", f"{name}@{digest}", config=login)
    assert ran.stdout == greeting
    docker_engine.run("image", "rm", f"{name}@{digest}", config=login)


def test_docker_uploads_layers_once_and_mounts_them_elsewhere(
    docker_engine: DockerEngine, registry: Registry, login: Path, busybox: Path, tmp_path: Path
) -> None:
    files = tmp_path / "files.tar"
    words = secrets.token_hex(20)
    files.write_bytes(gzip.decompress(layer({"bin/busybox": busybox.read_bytes(), "words": words.encode()})))
    name = f"{registry.host}/clients/docker-uploaded:made"
    command = 'CMD ["/bin/busybox", "cat", "/words"]'
    docker_engine.run("import", "--change", command, files, name, config=login)
    image = json.loads(docker_engine.run("image", "inspect", name, config=login).stdout)[0]
    assert "Pushed" in docker_engine.run("push", name, config=login).stdout
    pushed = registry_content(registry, "clients/docker-uploaded", "made")
    assert image["Id"] in pushed

    elsewhere = f"{registry.host}/clients/docker-mounted:made"
    docker_engine.run("tag", name, elsewhere, config=login)
    said = docker_engine.run("push", elsewhere, config=login).stdout
    assert "Mounted from clients/docker-uploaded" in said
    assert registry_content(registry, "clients/docker-mounted", "made") == pushed

    docker_engine.run("image", "rm", name, elsewhere, config=login)
    ran = docker_engine.run("run", "--rm", "--network=host", elsewhere, config=login)
    assert ran.stdout == words
    docker_engine.run("image", "rm", elsewhere, config=login)


def test_docker_pulls_its_own_platform_from_an_index(
    docker_engine: DockerEngine,
    registry: Registry,
    login: Path,
    crane: Client,
    tmp_path: Path,
) -> None:
    made = unique_index()
    name = f"{registry.host}/clients/docker-index:both"
    crane("auth", "login", registry.host, "-u", registry.username, "-p", registry.password)
    crane("push", made.write_layout(tmp_path / "layout"), name)
    docker_engine.run("pull", name, config=login)
    seen = json.loads(docker_engine.run("image", "inspect", name, config=login).stdout)[0]
    ours = json.loads(made.content[made.manifest["manifests"][0]["digest"]])
    assert seen["Id"] == ours["config"]["digest"]
    assert seen["RepoDigests"] == [f"{registry.host}/clients/docker-index@{made.digest}"]
    docker_engine.run("image", "rm", name, config=login)


def test_docker_pull_of_a_private_repository_without_login_is_refused(
    docker_engine: DockerEngine, registry: Registry, crane: Client, tmp_path: Path
) -> None:
    name = f"{registry.host}/clients/docker-private:made"
    crane("auth", "login", registry.host, "-u", registry.username, "-p", registry.password)
    crane("push", unique_image().write_layout(tmp_path / "layout"), name)
    nobody = tmp_path / "nobody"
    assert_refused(docker_engine.run("pull", name, config=nobody, succeeds=False))
    docker_engine.run("image", "inspect", name, config=nobody, succeeds=False)
