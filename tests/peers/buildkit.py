"""BuildKit of our own: its daemon, which runs builds by runc, and its command line client."""

import json
from base64 import b64encode
from pathlib import Path

from tests.peers.presence import require_go_tool, require_program, require_root
from tests.peers.process import ProcessFailed, Server, run
from tests.peers.registry import Registry


class BuildKit:
    """`buildkitd` with its own socket and storage below `directory`, signed in to one registry over plain HTTP."""

    def __init__(self, directory: Path, registry: Registry) -> None:
        require_root("BuildKit")
        require_program("runc", package="runc")
        self._buildctl = require_go_tool("buildctl")
        self._socket = f"unix://{directory / 'buildkit.sock'}"
        self.log_path = directory / "buildkitd.log"
        directory.mkdir(parents=True)
        config = directory / "buildkitd.toml"
        config.write_text(
            f'root = "{directory / "root"}"\n'
            f'[grpc]\naddress = ["{self._socket}"]\n'
            '[worker.oci]\nenabled = true\nsnapshotter = "native"\nnetworkMode = "host"\n'
            f'[worker.containerd]\nenabled = false\n[otel]\nsocketPath = "{directory / "otel.sock"}"\n'
            f'[registry."{registry.host}"]\nhttp = true\n'
        )
        login = b64encode(f"{registry.username}:{registry.password}".encode()).decode()
        self._logins = directory / "logins"
        self._logins.mkdir()
        (self._logins / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": login}}}))
        daemon = require_go_tool("buildkitd")
        self._server = Server([daemon, "--config", config], log_path=self.log_path, stop_status=1)

    def start(self) -> None:
        self._server.start(self._answers)

    def stop(self) -> None:
        self._server.stop()

    def build(self, context: Path, *options: str) -> str:
        """Build the Dockerfile in a directory; answers what is told of the steps."""
        local = [f"--local={name}={context}" for name in ("context", "dockerfile")]
        return self._run("build", "--progress=plain", "--frontend=dockerfile.v0", *local, *options)

    def forget(self) -> None:
        """Throw away all that was built."""
        self._run("prune", "--all")

    def _run(self, *arguments: str) -> str:
        ran = run(
            [self._buildctl, "--addr", self._socket, *arguments], environment={"DOCKER_CONFIG": str(self._logins)}
        )
        return ran.stdout + ran.stderr

    def _answers(self) -> bool:
        try:
            self._run("debug", "workers")
        except ProcessFailed:
            return False
        return True
