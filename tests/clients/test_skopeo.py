"""skopeo copies images in and out, between formats, and inside the registry."""

import json
from pathlib import Path

import pytest

from tests.clients.conftest import Client
from tests.clients.images import (
    DOCKER,
    DOCKER_MANIFEST,
    OCI_MANIFEST,
    digest_of,
    read_layout,
    unique_image,
    unique_index,
)
from tests.clients.refusal import assert_refused
from tests.clients.registry_content import registry_content
from tests.peers.registry import Registry

INSECURE = ("--src-tls-verify=false", "--dest-tls-verify=false")


@pytest.fixture
def skopeo(skopeo: Client, registry: Registry) -> Client:
    skopeo(
        *(
            "login",
            "--tls-verify=false",
            "--username",
            registry.username,
            "--password-stdin",
        ),
        registry.host,
        stdin=registry.password,
    )
    return skopeo


def test_skopeo_copies_an_index_in_and_out(skopeo: Client, registry: Registry, tmp_path: Path) -> None:
    made = unique_index()
    layout = made.write_layout(tmp_path / "layout", tag="made")
    name = f"docker://{registry.host}/clients/skopeo:index"
    skopeo("copy", "--all", "--preserve-digests", *INSECURE, f"oci:{layout}:made", name)
    assert registry_content(registry, "clients/skopeo", "index") == made.content
    skopeo(
        "copy",
        "--all",
        "--preserve-digests",
        *INSECURE,
        name,
        f"oci:{tmp_path / 'pulled'}:made",
    )
    assert read_layout(tmp_path / "pulled") == made.content


def test_skopeo_copies_docker_images_with_their_bytes(skopeo: Client, registry: Registry, tmp_path: Path) -> None:
    made = unique_image(format=DOCKER)
    name = f"docker://{registry.host}/clients/skopeo:docker"
    source = tmp_path / "source"
    source.mkdir()
    (source / "version").write_text("Directory Transport Version: 1.1\n")
    (source / "manifest.json").write_bytes(made.content[made.digest])
    for digest, content in made.content.items():
        (source / digest.removeprefix("sha256:")).write_bytes(content)
    skopeo("copy", "--preserve-digests", *INSECURE, f"dir:{source}", name)
    assert registry_content(registry, "clients/skopeo", "docker") == made.content
    pulled = tmp_path / "pulled"
    skopeo("copy", "--preserve-digests", *INSECURE, name, f"dir:{pulled}")
    seen = {path.read_bytes() for path in pulled.iterdir() if path.name != "version"}
    assert seen == set(made.content.values())


def test_skopeo_converts_between_the_formats(skopeo: Client, registry: Registry, tmp_path: Path) -> None:
    layout = unique_image().write_layout(tmp_path / "layout", tag="made")
    name = f"docker://{registry.host}/clients/skopeo-formats"
    skopeo("copy", "--format", "v2s2", *INSECURE, f"oci:{layout}:made", f"{name}:docker")
    skopeo("copy", "--format", "oci", *INSECURE, f"{name}:docker", f"{name}:oci")
    for tag, media_type in (("docker", DOCKER_MANIFEST), ("oci", OCI_MANIFEST)):
        raw = skopeo("inspect", "--raw", "--tls-verify=false", f"{name}:{tag}").stdout.encode()
        assert json.loads(raw)["mediaType"] == media_type
        assert registry_content(registry, "clients/skopeo-formats", tag)[digest_of(raw)] == raw


def test_skopeo_lists_tags_and_deletes(skopeo: Client, registry: Registry, tmp_path: Path) -> None:
    layout = unique_image().write_layout(tmp_path / "layout", tag="made")
    name = f"docker://{registry.host}/clients/skopeo-tags"
    for tag in ("first", "second"):
        skopeo("copy", *INSECURE, f"oci:{layout}:made", f"{name}:{tag}")
    listed = json.loads(skopeo("list-tags", "--tls-verify=false", name).stdout)
    assert sorted(listed["Tags"]) == ["first", "second"]
    skopeo("delete", "--tls-verify=false", f"{name}:first")
    skopeo("inspect", "--tls-verify=false", f"{name}:first", succeeds=False)


def test_skopeo_pull_of_a_private_repository_without_login_is_refused(
    skopeo: Client, registry: Registry, tmp_path: Path
) -> None:
    layout = unique_image().write_layout(tmp_path / "layout", tag="made")
    name = f"docker://{registry.host}/clients/skopeo-private:made"
    skopeo("copy", *INSECURE, f"oci:{layout}:made", name)
    skopeo("logout", registry.host)
    pulled = f"oci:{tmp_path / 'pulled'}:made"
    assert_refused(skopeo("copy", *INSECURE, name, pulled, succeeds=False))
