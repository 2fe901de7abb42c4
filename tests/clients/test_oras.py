"""oras moves artifacts that are not images, and what is attached to them."""

import json
import secrets
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.clients.conftest import Client
from tests.clients.images import read_layout, unique_index
from tests.clients.refusal import assert_refused
from tests.clients.registry_content import registry_content
from tests.peers.registry import Registry

ARTIFACT_TYPE = "application/vnd.example.report"
ATTACHED_TYPE = "application/vnd.example.note"


@pytest.fixture
def oras(oras: Client, registry: Registry) -> Client:
    _log_in(oras, registry, registry.password)
    return oras


def _log_in(oras: Client, registry: Registry, password: str, *, succeeds: bool = True) -> CompletedProcess[str]:
    return oras(
        *("login", "--plain-http", "--username", registry.username, "--password-stdin"),
        registry.host,
        stdin=password,
        succeeds=succeeds,
    )


def test_oras_login_with_wrong_password_is_refused(oras: Client, registry: Registry) -> None:
    assert_refused(_log_in(oras, registry, "wrong", succeeds=False))


def test_oras_pulls_the_files_that_it_pushed(oras: Client, registry: Registry, tmp_path: Path) -> None:
    name = f"{registry.host}/clients/oras:files"
    files = {
        "report.json": b'{"findings": []}',
        "data.bin": secrets.token_bytes(2_000_000),
    }
    source = tmp_path / "source"
    source.mkdir()
    for file, content in files.items():
        (source / file).write_bytes(content)
    parts = [f"{file}:application/vnd.example.part" for file in files]
    oras("push", "--plain-http", "--artifact-type", ARTIFACT_TYPE, name, *parts, directory=source)
    manifest = json.loads(oras("manifest", "fetch", "--plain-http", name).stdout)
    assert manifest["artifactType"] == ARTIFACT_TYPE
    assert set(files.values()) < set(registry_content(registry, "clients/oras", "files").values())
    pulled = tmp_path / "pulled"
    oras("pull", "--plain-http", "--output", pulled, name)
    assert {path.name: path.read_bytes() for path in pulled.iterdir()} == files


def test_oras_copies_an_index_in_and_out(oras: Client, registry: Registry, tmp_path: Path) -> None:
    made = unique_index()
    layout = made.write_layout(tmp_path / "layout", tag="made")
    name = f"{registry.host}/clients/oras:index"
    oras("cp", "--from-oci-layout", "--to-plain-http", f"{layout}:made", name)
    assert registry_content(registry, "clients/oras", "index") == made.content
    oras(
        "cp",
        "--from-plain-http",
        "--to-oci-layout",
        name,
        f"{tmp_path / 'pulled'}:made",
    )
    assert read_layout(tmp_path / "pulled") == made.content


def test_oras_finds_what_it_attached_by_type(oras: Client, registry: Registry, tmp_path: Path) -> None:
    layout = unique_index().write_layout(tmp_path / "layout", tag="made")
    name = f"{registry.host}/clients/oras-attached:made"
    oras("cp", "--from-oci-layout", "--to-plain-http", f"{layout}:made", name)
    for artifact_type in (ATTACHED_TYPE, "application/vnd.example.other"):
        note = tmp_path / "note.txt"
        note.write_text(f"a note of {artifact_type}")
        oras(
            *("attach", "--plain-http", "--disable-path-validation"),
            *("--artifact-type", artifact_type, name, f"{note}:text/plain"),
        )
    discover = ("discover", "--plain-http", "--format", "json", "--distribution-spec")
    found = json.loads(oras(*discover, "v1.1-referrers-api", "--artifact-type", ATTACHED_TYPE, name).stdout)
    assert [entry["artifactType"] for entry in found["referrers"]] == [ATTACHED_TYPE]
    everything = json.loads(oras(*discover, "v1.1-referrers-api", name).stdout)
    assert len(everything["referrers"]) == 2
