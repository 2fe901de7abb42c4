"""oras-py, the library for Python: with the token flow that it has by default, and with Basic credentials."""

import secrets
from pathlib import Path

import pytest
from oras.client import OrasClient

from tests.clients.registry_content import registry_content
from tests.peers.registry import Registry


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The library keeps files by their path, which has to be below the working directory; and reads a home's logins."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    made = Path("data.bin")
    made.write_bytes(secrets.token_bytes(100_000))
    return made


def client(registry: Registry, backend: str) -> OrasClient:
    made = OrasClient(hostname=registry.host, insecure=True, auth_backend=backend)
    made.auth.set_basic_auth(registry.username, registry.password)
    return made


@pytest.mark.parametrize("backend", ["token", "basic"])
def test_oras_py_pulls_the_file_that_it_pushed(registry: Registry, file: Path, tmp_path: Path, backend: str) -> None:
    """It goes on with the first token that it got, whatever it is told when that does not reach far enough."""
    name = f"clients/oras-py-{secrets.token_hex(4)}"
    pushed = client(registry, backend).push(target=f"{registry.host}/{name}:v1", files=[str(file)])

    assert pushed.status_code == 201
    assert file.read_bytes() in registry_content(registry, name, "v1").values()
    puller = client(registry, backend)
    assert puller.get_tags(f"{registry.host}/{name}") == ["v1"]
    (pulled,) = puller.pull(target=f"{registry.host}/{name}:v1", outdir=str(tmp_path / "pulled"))
    assert Path(pulled).read_bytes() == file.read_bytes()


def test_oras_py_pushes_after_it_pulled_with_basic_credentials(registry: Registry, file: Path, tmp_path: Path) -> None:
    """As the guide says: with tokens it would go on with the one to pull."""
    name = f"{registry.host}/clients/oras-py-{secrets.token_hex(4)}"
    same = client(registry, "basic")
    same.push(target=f"{name}:v1", files=[str(file)])
    same.pull(target=f"{name}:v1", outdir=str(tmp_path / "pulled"))
    file.write_bytes(secrets.token_bytes(100_000))
    assert same.push(target=f"{name}:v2", files=[str(file)]).status_code == 201
    assert same.get_tags(name) == ["v1", "v2"]
