"""Entrepot itself, as an operator starts it: the installed program in a process of its own."""

import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.peers.certificate import Certificate
from tests.peers.process import Server
from tests.peers.registry import Registry

PROGRAM = Path(sys.executable).parent / "entrepot"

STOP_SECONDS_MAX = 45
"""Longer than the server gives to the requests it has in hand, `drain_seconds`."""


class Entrepot(Registry):
    """`entrepot serve` on `directory/data`, with the log in `directory/registry.log`.

    `config` is the text of a TOML configuration, `environment` adds to ours, of which
    it inherits no setting of Entrepot.
    """

    READY_PATH = "/readyz"

    def __init__(
        self,
        directory: Path,
        *,
        workers: int = 2,
        config: str = "",
        certificate: Certificate | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(directory, certificate=certificate)
        self.password = secrets.token_urlsafe(18)
        self._workers = workers
        self._config = config
        self._environment = dict(environment or {})

    def _build_server(self) -> Server:
        command: list[str | Path] = [PROGRAM, "serve"]
        command += [
            "--data",
            self.data,
            "--listen",
            self.host,
            "--workers",
            str(self._workers),
        ]
        if self.certificate:
            command += ["--tls-cert", self.certificate.certificate]
            command += ["--tls-key", self.certificate.key]
        if self._config:
            config_path = self.directory / "entrepot.toml"
            config_path.write_text(self._config)
            command += ["--config", config_path]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ENTREPOT_")}
        environment = {
            **inherited,
            "ENTREPOT_ADMIN_PASSWORD": self.password,
            # Tests that try what fails come from one address.
            "ENTREPOT_LOGIN_ADDRESS_FAILURES_FREE": "1000000",
            **self._environment,
        }
        return Server(
            command,
            log_path=self.log_path,
            environment=environment,
            stop_seconds_max=STOP_SECONDS_MAX,
        )
