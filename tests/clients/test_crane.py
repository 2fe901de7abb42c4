"""crane pushes, pulls, copies, tags, lists and deletes."""

import json
from pathlib import Path

import pytest

from tests.clients.conftest import Client
from tests.clients.images import (
    DOCKER,
    OCI,
    Format,
    read_layout,
    unique_image,
    unique_index,
)
from tests.clients.refusal import assert_refused
from tests.clients.registry_content import registry_content
from tests.peers.registry import Registry


@pytest.fixture
def crane(crane: Client, registry: Registry) -> Client:
    crane("auth", "login", registry.host, "-u", registry.username, "-p", registry.password)
    return crane


@pytest.mark.parametrize("format", [OCI, DOCKER], ids=["oci", "docker"])
def test_crane_pulls_the_index_that_it_pushed(
    crane: Client, registry: Registry, tmp_path: Path, format: Format
) -> None:
    made = unique_index(format=format)
    name = f"{registry.host}/clients/crane:index"
    crane("push", made.write_layout(tmp_path / "layout"), name)
    assert registry_content(registry, "clients/crane", "index") == made.content
    assert crane("digest", name).stdout.strip() == made.digest
    crane("validate", "--remote", name)
    crane("pull", "--format", "oci", name, tmp_path / "pulled")
    assert read_layout(tmp_path / "pulled") == made.content


def test_crane_copies_between_repositories_and_tags_and_deletes(
    crane: Client, registry: Registry, tmp_path: Path
) -> None:
    made = unique_image()
    source = f"{registry.host}/clients/crane-source:made"
    target = f"{registry.host}/clients/crane-target"
    crane("push", made.write_layout(tmp_path / "layout"), source)
    crane("copy", source, f"{target}:copied")
    assert registry_content(registry, "clients/crane-target", "copied") == made.content
    crane("tag", f"{target}:copied", "again")
    assert sorted(crane("ls", target).stdout.split()) == ["again", "copied"]
    crane("delete", f"{target}@{made.digest}")
    crane("manifest", f"{target}@{made.digest}", succeeds=False)
    assert json.loads(crane("manifest", source).stdout) == made.manifest


def test_crane_pull_of_a_private_repository_without_login_is_refused(
    crane: Client, registry: Registry, tmp_path: Path
) -> None:
    name = f"{registry.host}/clients/crane-private:made"
    crane("push", unique_image().write_layout(tmp_path / "layout"), name)
    crane("auth", "logout", registry.host)
    pulled = tmp_path / "pulled"
    assert_refused(crane("pull", "--format", "oci", name, pulled, succeeds=False))
