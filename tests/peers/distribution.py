"""The reference registry, "distribution", in Entrepot's place: shows whether a test is right."""

import json
import os
from pathlib import Path
from typing import Any

from tests.peers.certificate import Certificate
from tests.peers.presence import require_go_tool
from tests.peers.process import Server
from tests.peers.registry import Registry

PASSWORD = "stand-in"
PASSWORD_BCRYPT = "$2y$05$9Q64giJ8nVVsXYRV0HRzN.TrXEth2j7nj8Ss2QKBqybBmxMwvq.pK"


class Distribution(Registry):
    """One user, Basic credentials, files on disk, deletion allowed; it has no referrers API."""

    READY_PATH = "/"

    def __init__(self, directory: Path, *, certificate: Certificate | None = None) -> None:
        super().__init__(directory, certificate=certificate)
        self.password = PASSWORD

    def _build_server(self) -> Server:
        users = self.directory / "htpasswd"
        users.write_text(f"{self.username}:{PASSWORD_BCRYPT}\n")
        http: dict[str, Any] = {"addr": self.host}
        if self.certificate:
            http["tls"] = {
                "certificate": str(self.certificate.certificate),
                "key": str(self.certificate.key),
            }
        config = {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(self.data)},
                "delete": {"enabled": True},
            },
            "http": http,
            "auth": {"htpasswd": {"realm": "stand-in", "path": str(users)}},
        }
        config_path = self.directory / "config.json"
        config_path.write_text(json.dumps(config))
        command: list[str | Path] = [require_go_tool("registry"), "serve", config_path]
        environment = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
        return Server(command, log_path=self.log_path, environment=environment)
