"""Entrepot and its peers: where their programs are, how each is configured, started and stopped."""

import base64
import http.client
import importlib.metadata
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from benchmarks import processes
from benchmarks.client import Client

HOST = "127.0.0.1"
START_TIMEOUT_SECONDS = 120.0
STOP_TIMEOUT_SECONDS = 15.0


class Registry(ABC):
    """A program that can serve a registry from a directory."""

    name: ClassVar[str]
    title: ClassVar[str]
    ready_path: ClassVar[str] = "/v2/"
    configuration: ClassVar[str]
    large_repository_tags: ClassVar[int] = 5_000
    is_peer: ClassVar[bool] = True

    @abstractmethod
    def program(self) -> Path | None:
        """Return the program's file, or None where it is not installed."""

    @abstractmethod
    def version(self) -> str:
        """Return the version of the program found."""

    @abstractmethod
    def command(self, directory: Path, port: int) -> list[str]:
        """Write what configuration it takes into the directory and return the command that serves."""

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def credentials(self) -> tuple[str, str] | None:
        """Return the user and password requests are made with."""
        return None


class Entrepot(Registry):
    """This repository's registry, as `entrepot serve` starts it."""

    name = "entrepot"
    title = "Entrepot"
    ready_path = "/readyz"
    configuration = (
        "`entrepot serve --data DIR --listen 127.0.0.1:PORT`, nothing else set but the admin's password and a limit of "
        "requests that one user does not reach: "
        "authentication, access log (to a file) and metrics on; every request carries a bearer token."
    )
    large_repository_tags = 100_000
    is_peer = False

    def __init__(self) -> None:
        self._password = secrets.token_urlsafe(18)

    def program(self) -> Path | None:
        path = Path(sys.executable).with_name("entrepot")
        return path if path.exists() else None

    def version(self) -> str:
        return importlib.metadata.version("entrepot")

    def command(self, directory: Path, port: int) -> list[str]:
        return [str(self.program()), "serve", "--data", str(directory / "data"), "--listen", f"{HOST}:{port}"]

    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ENTREPOT_")}
        # One user asks for more than the brake gives to one.
        unreached = {"ENTREPOT_LIMITS_REQUESTS_PER_USER_PER_SECOND": "1000000"}
        return inherited | unreached | {"ENTREPOT_ADMIN_PASSWORD": self._password}

    def credentials(self) -> tuple[str, str] | None:
        return "admin", self._password


DISTRIBUTION_YAML = """\
version: 0.1
storage:
  filesystem:
    rootdirectory: {directory}/data
  cache:
    blobdescriptor: inmemory
  delete:
    enabled: true
http:
  addr: {host}:{port}
"""


class DockerRegistry(Registry):
    """Distribution 2.8 as Debian packages it."""

    name = "docker-registry"
    title = "docker-registry 2.8"
    configuration = (
        "Debian's package; file system storage, blob descriptor cache in memory (as in the configuration it ships), "
        "delete enabled, anonymous, default logging to a file."
    )

    def program(self) -> Path | None:
        return _on_path("docker-registry")

    def version(self) -> str:
        return _version(self.program(), "--version")

    def command(self, directory: Path, port: int) -> list[str]:
        file = directory / "registry.yml"
        file.write_text(DISTRIBUTION_YAML.format(directory=directory, host=HOST, port=port))
        return [str(self.program()), "serve", str(file)]


class Distribution(DockerRegistry):
    """Distribution 3."""

    name = "distribution"
    title = "distribution 3"
    configuration = (
        "The Go program of the release; file system storage, blob descriptor cache in memory (as in the example "
        "configuration), delete enabled, anonymous, default logging to a file, no traces exported."
    )

    def program(self) -> Path | None:
        return _in_tools("registry") or _on_path("registry")

    def environment(self) -> dict[str, str]:
        return dict(os.environ) | {"OTEL_TRACES_EXPORTER": "none"}


class Zot(Registry):
    """Zot, where somebody installed it: the Go module proxy serves no version of it to tools/install."""

    name = "zot"
    title = "zot"
    configuration = (
        "Local storage with its defaults (deduplication, garbage collection), anonymous, log level info to a file."
    )

    def program(self) -> Path | None:
        return _in_tools("zot") or _on_path("zot")

    def version(self) -> str:
        return _version(self.program(), "--version")

    def command(self, directory: Path, port: int) -> list[str]:
        file = directory / "zot.json"
        settings = {
            "distSpecVersion": "1.1.1",
            "storage": {"rootDirectory": str(directory / "data")},
            "http": {"address": HOST, "port": str(port)},
            "log": {"level": "info", "output": str(directory / "zot.log")},
        }
        file.write_text(json.dumps(settings, indent=2))
        return [str(self.program()), "serve", str(file)]


def all_registries() -> list[Registry]:
    """Return every registry the benchmark knows, Entrepot first."""
    return [Entrepot(), DockerRegistry(), Distribution(), Zot()]


@dataclass(slots=True)
class Token:
    """A bearer token and when to ask for the next one."""

    value: str
    renew_at: float


@dataclass(slots=True)
class Server:
    """A running registry."""

    registry: Registry
    directory: Path
    port: int
    process: subprocess.Popen[bytes]
    start_seconds: float
    tokens: dict[str, Token] = field(default_factory=dict)

    @classmethod
    def start(cls, registry: Registry, directory: Path) -> "Server":
        """Start a registry on data in a directory and wait until it is ready."""
        directory.mkdir(parents=True, exist_ok=True)
        port = _free_port()
        command = registry.command(directory, port)
        began = time.monotonic()
        with (directory / "log").open("ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=registry.environment(), cwd=directory
            )
        server = cls(registry, directory, port, process, 0.0)
        try:
            server.wait_until_ready()
        except BaseException:
            server.stop()
            raise
        server.start_seconds = time.monotonic() - began
        return server

    def stop(self) -> None:
        """End the server and whatever it started; a second call does nothing."""
        if self.process.poll() is not None:
            return
        pids = processes.tree(self.process.pid)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pid in pids[1:]:
            if Path(f"/proc/{pid}").exists():
                os.kill(pid, signal.SIGKILL)

    def wait_until_ready(self) -> None:
        """Return once the server says it is ready."""
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.registry.name} did not become ready:\n{self.log_tail()}")
            time.sleep(0.01)

    def client(self, repository: str) -> Client:
        """Open a connection that may pull from and push to a repository."""
        return Client(HOST, self.port, repository, self.authorization(repository))

    def url(self, path: str = "") -> str:
        return f"http://{HOST}:{self.port}{path}"

    def cpu_seconds(self) -> float:
        return processes.cpu_seconds(self.process.pid)

    def log_tail(self, lines: int = 15) -> str:
        text = (self.directory / "log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def authorization(self, repository: str) -> str:
        """Return the value of the Authorization header for work in a repository; empty where none is needed."""
        credentials = self.registry.credentials()
        if credentials is None:
            return ""
        token = self.tokens.get(repository)
        if token is None or time.monotonic() > token.renew_at:
            token = self.tokens[repository] = self._ask_for_token(repository, credentials)
        return f"Bearer {token.value}"

    def _ask_for_token(self, repository: str, credentials: tuple[str, str]) -> Token:
        status, headers, body = self._get("/v2/")
        challenge = dict(re.findall(r'(\w+)="([^"]*)"', headers.get("www-authenticate", "")))
        if status != 401 or "realm" not in challenge:
            raise RuntimeError(f"{self.registry.name}: GET /v2/ without credentials: {status} {headers} {body!r}")
        path = "/" + challenge["realm"].split("://", 1)[-1].partition("/")[2]
        query = f"?service={challenge.get('service', '')}&scope=repository:{repository}:pull,push"
        basic = base64.b64encode(":".join(credentials).encode()).decode()
        status, _, body = self._get(path + query, {"Authorization": f"Basic {basic}"})
        if status != 200:
            raise RuntimeError(f"{self.registry.name}: GET {path}{query}: {status} {body!r}")
        answer = json.loads(body)
        return Token(answer["token"], time.monotonic() + answer.get("expires_in", 60) / 2)

    def _is_ready(self) -> bool:
        try:
            return self._get(self.registry.ready_path)[0] == 200
        except OSError:
            return False

    def _get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=30)
        try:
            connection.request("GET", path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _in_tools(name: str) -> Path | None:
    """Return a program of the tools cache, of its newest version."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "entrepot" / "tools"
    found = [path for pattern in ("{}@*/{}", "{}@*/bin/{}") for path in cache.glob(pattern.format(name, name))]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def _on_path(name: str) -> Path | None:
    found = shutil.which(name)
    return Path(found) if found else None


def _version(program: Path | None, option: str) -> str:
    if program is None:
        return "not installed"
    result = subprocess.run([program, option], capture_output=True, text=True, check=False)
    match = re.search(r"v?(\d+\.\d+\.\d+[\w.-]*)", result.stdout + result.stderr)
    return match[1] if match else (result.stdout + result.stderr).strip()[:80]
