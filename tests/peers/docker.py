"""A Docker engine of our own: its daemon, and its command line client."""

from pathlib import Path
from subprocess import CompletedProcess

from tests.peers.presence import require_program, require_root
from tests.peers.process import ProcessFailed, Server, run


class DockerEngine:
    """`dockerd` with its own socket and storage below `directory`; it touches no network setting.

    Docker takes registries on 127.0.0.0/8 for plain HTTP if they do not answer to TLS.
    """

    def __init__(self, directory: Path) -> None:
        require_root("the Docker engine")
        self._docker = require_program("docker", package="docker.io")
        daemon = require_program("dockerd", package="docker.io")
        self.log_path = directory / "dockerd.log"
        self._socket = f"unix://{directory / 'docker.sock'}"
        directory.mkdir(parents=True)
        command: list[str | Path] = [daemon, "--host", self._socket]
        command += [
            "--data-root",
            directory / "data",
            "--exec-root",
            directory / "exec",
        ]
        command += ["--pidfile", directory / "docker.pid"]
        command += ["--storage-driver=vfs", "--iptables=false", "--ip6tables=false"]
        command += ["--bridge=none"]
        self._server = Server(command, log_path=self.log_path)

    def start(self) -> None:
        self._server.start(self._answers)

    def stop(self) -> None:
        self._server.stop()

    def run(
        self,
        *arguments: str | Path,
        config: Path,
        stdin: str | None = None,
        succeeds: bool = True,
    ) -> CompletedProcess[str]:
        """One `docker` command; `config` is the directory in which the client keeps its logins."""
        command = [self._docker, "--host", self._socket, "--config", config, *arguments]
        return run(command, stdin=stdin, succeeds=succeeds)

    def _answers(self) -> bool:
        try:
            run([self._docker, "--host", self._socket, "version"])
        except ProcessFailed:
            return False
        return True
