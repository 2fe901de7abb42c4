"""podman logs in, pushes and pulls."""

import json
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.clients.conftest import Client
from tests.clients.images import (
    DOCKER,
    ELSEWHERE,
    OCI,
    Format,
    unique_image,
    unique_index,
)
from tests.clients.refusal import assert_refused
from tests.clients.registry_content import manifest_digest, registry_content
from tests.peers.registry import Registry


def _log_in(podman: Client, registry: Registry, password: str, *, succeeds: bool = True) -> CompletedProcess[str]:
    return podman(
        *(
            "login",
            "--tls-verify=false",
            "--username",
            registry.username,
            "--password-stdin",
        ),
        registry.host,
        stdin=password,
        succeeds=succeeds,
    )


def _push_with_crane(crane: Client, registry: Registry, layout: Path, name: str) -> None:
    crane("auth", "login", registry.host, "-u", registry.username, "-p", registry.password)
    crane("push", layout, name)


def test_podman_login_with_wrong_password_is_refused(podman: Client, registry: Registry) -> None:
    assert_refused(_log_in(podman, registry, "wrong", succeeds=False))


@pytest.mark.parametrize("format", [OCI, DOCKER], ids=["oci", "docker"])
def test_podman_pulls_and_pushes_an_image(
    podman: Client, registry: Registry, crane: Client, tmp_path: Path, format: Format
) -> None:
    made = unique_image(format=format)
    name = f"{registry.host}/clients/podman"
    _push_with_crane(crane, registry, made.write_layout(tmp_path / "layout"), f"{name}:made")
    _log_in(podman, registry, registry.password)
    podman("pull", "--tls-verify=false", f"{name}:made")
    seen = json.loads(podman("image", "inspect", f"{name}:made").stdout)[0]
    assert seen["Digest"] == made.digest
    assert "sha256:" + seen["Id"] == made.manifest["config"]["digest"]

    podman("tag", f"{name}:made", f"{name}:pushed")
    written = tmp_path / "digest"
    podman("push", "--tls-verify=false", "--digestfile", written, f"{name}:pushed")
    assert written.read_text() == manifest_digest(registry, "clients/podman", "pushed")
    pushed = registry_content(registry, "clients/podman", "pushed")
    assert made.manifest["config"]["digest"] in pushed
    podman("image", "rm", f"{name}:made", f"{name}:pushed")


def test_podman_pulls_another_platform_from_an_index(
    podman: Client, registry: Registry, crane: Client, tmp_path: Path
) -> None:
    made = unique_index()
    name = f"{registry.host}/clients/podman-index:both"
    _push_with_crane(crane, registry, made.write_layout(tmp_path / "layout"), name)
    _log_in(podman, registry, registry.password)
    podman("pull", "--tls-verify=false", "--arch", ELSEWHERE, name)
    seen = json.loads(podman("image", "inspect", name).stdout)[0]
    theirs = made.manifest["manifests"][1]["digest"]
    assert seen["Architecture"] == ELSEWHERE
    assert f"{registry.host}/clients/podman-index@{theirs}" in seen["RepoDigests"]
    podman("image", "rm", name)


def test_podman_pull_of_a_private_repository_without_login_is_refused(
    podman: Client, registry: Registry, crane: Client, tmp_path: Path
) -> None:
    name = f"{registry.host}/clients/podman-private:made"
    _push_with_crane(crane, registry, unique_image().write_layout(tmp_path / "layout"), name)
    assert_refused(podman("pull", "--tls-verify=false", name, succeeds=False))
