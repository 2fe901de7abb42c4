"""containerd of our own, asked by `ctr` and, through its CRI as a kubelet does, by `crictl`."""

import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from tests.peers.certificate import Certificate
from tests.peers.presence import require_go_tool, require_program, require_root
from tests.peers.process import ProcessFailed, Server, run

CONFIG = """\
version = 2
root = "{directory}/root"
state = "{directory}/state"

[grpc]
address = "{directory}/containerd.sock"

[plugins."io.containerd.internal.v1.opt"]
path = "{directory}/opt"

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"

[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{directory}/hosts"
"""


class Containerd:
    """`containerd` with its own socket and storage below `directory`, the CRI switched on."""

    def __init__(self, directory: Path) -> None:
        require_root("containerd")
        self._ctr = require_program("ctr", package="containerd")
        self._crictl = require_go_tool("crictl")
        daemon = require_program("containerd", package="containerd")
        self.log_path = directory / "containerd.log"
        self._socket = directory / "containerd.sock"
        self._hosts = directory / "hosts"
        self._hosts.mkdir(parents=True)
        config = directory / "config.toml"
        config.write_text(CONFIG.format(directory=directory))
        self._server = Server([daemon, "--config", config], log_path=self.log_path)

    def start(self) -> None:
        self._server.start(self._answers)

    def stop(self) -> None:
        self._server.stop()

    def trust(self, host: str, certificate: Certificate) -> None:
        """Speak TLS with `host`, and trust its certificate, as a node is set up for a registry."""
        directory = self._hosts / host
        directory.mkdir()
        (directory / "hosts.toml").write_text(
            f'server = "https://{host}"\n\n'
            f'[host."https://{host}"]\n'
            f'capabilities = ["pull", "resolve"]\nca = "{certificate.certificate}"\n'
        )

    def ctr(self, *arguments: str | Path, succeeds: bool = True) -> CompletedProcess[str]:
        """One `ctr` command."""
        return run([self._ctr, "--address", self._socket, *arguments], succeeds=succeeds)

    def content(self, digest: str) -> bytes:
        """The bytes that containerd keeps under a digest."""
        path = self._socket.parent / "root" / "io.containerd.content.v1.content" / "blobs"
        return (path / digest.replace(":", "/")).read_bytes()

    def crictl(self, *arguments: str, credentials: str | None = None, succeeds: bool = True) -> CompletedProcess[str]:
        """One `crictl` command; a pull takes credentials, `name:password`."""
        environment = {} if credentials is None else {"CRICTL_CREDS": credentials}
        config = self._socket.with_name("crictl.yaml")
        config.touch()
        endpoint = f"unix://{self._socket}"
        options = ("--config", config, "--runtime-endpoint", endpoint, "--image-endpoint", endpoint, "--timeout", "30s")
        return run([self._crictl, *options, *arguments], environment=environment, succeeds=succeeds)

    def images(self, name: str = "") -> list[dict[str, Any]]:
        """What the CRI lists: all images, or those of a name."""
        listed = json.loads(self.crictl("images", "--output", "json", *filter(None, [name])).stdout)
        images: list[dict[str, Any]] = listed["images"]
        return images

    def _answers(self) -> bool:
        try:
            self.images()
        except ProcessFailed:
            return False
        return True
