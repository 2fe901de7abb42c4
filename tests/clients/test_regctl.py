"""regctl copies images with their referrers, makes indexes, and deletes tags."""

import json
from pathlib import Path

import pytest

from tests.clients.conftest import Client
from tests.clients.images import (
    ELSEWHERE,
    HERE,
    read_layout,
    unique_image,
    unique_index,
)
from tests.clients.registry_content import registry_content
from tests.peers.registry import Registry


@pytest.fixture
def regctl(regctl: Client, registry: Registry) -> Client:
    regctl(
        *(
            "registry",
            "login",
            registry.host,
            "--user",
            registry.username,
            "--pass-stdin",
        ),
        stdin=registry.password,
    )
    return regctl


def test_regctl_login_with_wrong_password_is_refused(regctl: Client, registry: Registry) -> None:
    regctl(
        *(
            "registry",
            "login",
            registry.host,
            "--user",
            registry.username,
            "--pass-stdin",
        ),
        stdin="wrong",
        succeeds=False,
    )


def test_regctl_copies_an_index_in_and_out(regctl: Client, registry: Registry, tmp_path: Path) -> None:
    made = unique_index()
    layout = made.write_layout(tmp_path / "layout", tag="made")
    name = f"{registry.host}/clients/regctl:index"
    regctl("image", "copy", f"ocidir://{layout}:made", name)
    assert registry_content(registry, "clients/regctl", "index") == made.content
    regctl("image", "copy", name, f"ocidir://{tmp_path / 'pulled'}:made")
    assert read_layout(tmp_path / "pulled") == made.content


def test_regctl_makes_an_index_of_images_in_the_registry(regctl: Client, registry: Registry, tmp_path: Path) -> None:
    name = f"{registry.host}/clients/regctl-index"
    images = {platform: unique_image(architecture=platform) for platform in (HERE, ELSEWHERE)}
    for platform, made in images.items():
        layout = made.write_layout(tmp_path / platform, tag="made")
        regctl("image", "copy", f"ocidir://{layout}:made", f"{name}:{platform}")
    references = [f"--ref={name}:{platform}" for platform in images]
    regctl("index", "create", *references, f"{name}:both")
    content = registry_content(registry, "clients/regctl-index", "both")
    for made in images.values():
        assert made.content.items() <= content.items()


def test_regctl_copies_referrers_with_the_image(regctl: Client, registry: Registry, tmp_path: Path) -> None:
    made = unique_image()
    layout = made.write_layout(tmp_path / "layout", tag="made")
    source = f"{registry.host}/clients/regctl-source:made"
    target = f"{registry.host}/clients/regctl-target:made"
    regctl("image", "copy", f"ocidir://{layout}:made", source)
    regctl(
        *("artifact", "put", "--artifact-type", "application/vnd.example.note"),
        *("--subject", source),
        stdin="a note",
    )
    regctl("image", "copy", "--referrers", source, target)
    listed = json.loads(regctl("artifact", "list", target, "--format", "{{jsonPretty .Manifest}}").stdout)
    assert [entry["artifactType"] for entry in listed["manifests"]] == ["application/vnd.example.note"]
    fetched = regctl("artifact", "get", "--subject", target)
    assert fetched.stdout == "a note"


def test_regctl_deletes_a_tag_and_leaves_the_other(regctl: Client, registry: Registry, tmp_path: Path) -> None:
    layout = unique_image().write_layout(tmp_path / "layout", tag="made")
    name = f"{registry.host}/clients/regctl-tags"
    for tag in ("first", "second"):
        regctl("image", "copy", f"ocidir://{layout}:made", f"{name}:{tag}")
    regctl("tag", "delete", f"{name}:first")
    assert regctl("tag", "ls", name).stdout.split() == ["second"]
    regctl("manifest", "get", f"{name}:second")
