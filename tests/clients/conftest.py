"""The clients, each with storage and logins of its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.peers.containerd import Containerd
from tests.peers.docker import DockerEngine
from tests.peers.presence import require_go_tool, require_program, require_root
from tests.peers.process import run
from tests.peers.registry import Registry


@pytest.fixture(scope="session")
def busybox() -> Path:
    """A program that runs in an image with nothing else in it."""
    return require_program("busybox", package="busybox-static")


@pytest.fixture(scope="session")
def docker_engine(workspace: Path) -> Iterator[DockerEngine]:
    engine = DockerEngine(workspace / "docker")
    engine.start()
    yield engine
    engine.stop()


@pytest.fixture(scope="session")
def containerd(workspace: Path) -> Iterator[Containerd]:
    daemon = Containerd(workspace / "containerd")
    daemon.start()
    yield daemon
    daemon.stop()


@dataclass(frozen=True)
class Client:
    """A command line client: its program, the options of every call, where its login is kept."""

    program: Path
    options: tuple[str, ...]
    environment: dict[str, str]

    def __call__(
        self,
        *arguments: str | Path,
        stdin: str | None = None,
        directory: Path | None = None,
        succeeds: bool = True,
    ) -> CompletedProcess[str]:
        command = [self.program, *self.options, *arguments]
        return run(command, environment=self.environment, stdin=stdin, directory=directory, succeeds=succeeds)


def _storage_options(workspace: Path) -> tuple[str, ...]:
    """buildah and podman share their images: what the one builds, the other can push."""
    storage = workspace / "containers"
    return (
        "--root",
        f"{storage}/root",
        "--runroot",
        f"{storage}/run",
        "--storage-driver",
        "vfs",
    )


def _containers_environment(directory: Path) -> dict[str, str]:
    login = directory / "containers-auth.json"
    login.write_text("{}")  # some of them insist that the file exists
    return {
        "REGISTRY_AUTH_FILE": str(login),
        "BUILDAH_ISOLATION": "chroot",
        "STORAGE_DRIVER": "vfs",
    }


@pytest.fixture
def buildah(workspace: Path, tmp_path: Path) -> Client:
    require_root("building images")
    program = require_program("buildah", package="buildah")
    return Client(program, _storage_options(workspace), _containers_environment(tmp_path))


@pytest.fixture
def podman(workspace: Path, tmp_path: Path) -> Client:
    require_root("podman's storage")
    program = require_program("podman", package="podman")
    return Client(program, _storage_options(workspace), _containers_environment(tmp_path))


@pytest.fixture
def skopeo(tmp_path: Path) -> Client:
    program = require_program("skopeo", package="skopeo")
    return Client(program, (), _containers_environment(tmp_path))


@pytest.fixture
def crane(tmp_path: Path) -> Client:
    program = require_go_tool("crane")
    return Client(program, (), {"DOCKER_CONFIG": str(tmp_path / "crane")})


@pytest.fixture
def oras(tmp_path: Path) -> Client:
    program = require_go_tool("oras")
    return Client(program, (), {"DOCKER_CONFIG": str(tmp_path / "oras")})


@pytest.fixture
def helm(tmp_path: Path) -> Client:
    program = require_go_tool("helm")
    homes = {name: str(tmp_path / "helm" / name) for name in ("cache", "config", "data")}
    environment = {f"HELM_{name.upper()}_HOME": home for name, home in homes.items()}
    login = ("--registry-config", str(tmp_path / "helm-login.json"))
    return Client(program, login, environment)


@pytest.fixture
def regctl(tmp_path: Path, registry: Registry) -> Client:
    program = require_go_tool("regctl")
    settings = {"REGCTL_CONFIG": str(tmp_path / "regctl.json")}
    client = Client(program, (), settings)
    client("registry", "set", "--tls", "disabled", "--skip-check", registry.host)
    return client
