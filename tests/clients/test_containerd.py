"""containerd pulls and pushes: by `ctr`, and through the CRI, by `crictl`, as a kubelet asks for images."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.conftest import Client
from tests.clients.images import (
    DOCKER,
    HERE,
    OCI,
    Format,
    Image,
    unique_image,
    unique_index,
)
from tests.clients.refusal import assert_refused
from tests.clients.registry_content import registry_content
from tests.peers.containerd import Containerd
from tests.peers.registry import Registry

Push = Callable[[Image, str], str]


@pytest.fixture
def push(crane: Client, registry: Registry, tmp_path: Path) -> Push:
    """Put an image into the registry; its full name."""
    crane("auth", "login", registry.host, "-u", registry.username, "-p", registry.password)

    def push(made: Image, name: str) -> str:
        layout = made.write_layout(tmp_path / "layout")
        full_name = f"{registry.host}/{name}"
        crane("push", layout, full_name)
        return full_name

    return push


def _credentials(registry: Registry) -> tuple[str, ...]:
    return ("--plain-http", "--user", f"{registry.username}:{registry.password}")


@pytest.mark.parametrize("format", [OCI, DOCKER], ids=["oci", "docker"])
def test_ctr_pulls_and_pushes_all_platforms(
    containerd: Containerd, registry: Registry, push: Push, format: Format
) -> None:
    made = unique_index(format=format)
    name = push(made, f"clients/ctr:{'oci' if format is OCI else 'docker'}")
    containerd.ctr(
        *("images", "pull", "--all-platforms", "--snapshotter=native"),
        *(*_credentials(registry), name),
    )
    for digest, content in made.content.items():
        assert containerd.content(digest) == content
    containerd.ctr(
        *("images", "push", *_credentials(registry)),
        *(f"{registry.host}/clients/ctr-pushed:made", name),
    )
    assert registry_content(registry, "clients/ctr-pushed", "made") == made.content
    containerd.ctr("images", "rm", "--sync", name)


def test_ctr_pull_without_the_right_password_is_refused(containerd: Containerd, registry: Registry, push: Push) -> None:
    name = push(unique_image(), "clients/ctr-private:made")
    pull = ("images", "pull", "--snapshotter=native", "--plain-http")
    assert_refused(containerd.ctr(*pull, name, succeeds=False))
    login = ("--user", f"{registry.username}:wrong")
    assert_refused(containerd.ctr(*pull, *login, name, succeeds=False))


@pytest.mark.parametrize("format", [OCI, DOCKER], ids=["oci", "docker"])
def test_cri_pulls_shows_lists_and_removes_an_image(
    containerd: Containerd, registry: Registry, push: Push, format: Format
) -> None:
    made = unique_index(format=format)
    name = push(made, f"clients/cri:{'oci' if format is OCI else 'docker'}")
    entries = made.manifest["manifests"]
    ours = next(entry for entry in entries if entry["platform"]["architecture"] == HERE)
    manifest = json.loads(made.content[ours["digest"]])

    credentials = f"{registry.username}:{registry.password}"
    assert manifest["config"]["digest"] in containerd.crictl("pull", name, credentials=credentials).stdout
    for descriptor in (made.root, ours, manifest["config"], *manifest["layers"]):
        assert containerd.content(descriptor["digest"]) == made.content[descriptor["digest"]]

    by_digest = f"{registry.host}/clients/cri@{made.digest}"
    shown = json.loads(containerd.crictl("inspecti", "--output", "json", name).stdout)["status"]
    assert shown["id"] == manifest["config"]["digest"]
    assert shown["repoDigests"] == [by_digest]
    assert name in [tag for image in containerd.images() for tag in image["repoTags"]]

    containerd.crictl("pull", by_digest, credentials=credentials)
    containerd.crictl("rmi", shown["id"])
    assert containerd.images(name) == []


def test_cri_pull_without_the_right_password_is_refused(containerd: Containerd, registry: Registry, push: Push) -> None:
    name = push(unique_image(), "clients/cri-private:made")
    assert_refused(containerd.crictl("pull", name, succeeds=False))
    assert_refused(containerd.crictl("pull", name, credentials=f"{registry.username}:wrong", succeeds=False))
    assert containerd.images(name) == []
