"""The command as somebody uses it at another machine: with a home of its own, and the registry's address."""

import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from tests.functional.setups import SetUp
from tests.peers.entrepot import PROGRAM
from tests.peers.process import run


class CommandLine:
    def __init__(self, set_up: SetUp, home: Path) -> None:
        self.set_up = set_up
        self.home = home
        self.environment = {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "COLUMNS": "200"}

    @property
    def credentials(self) -> Path:
        return self.home / "config/entrepot/credentials.json"

    def run(
        self, *arguments: str | Path, status: int = 0, stdin: str | None = None, **variables: str
    ) -> CompletedProcess[str]:
        """Run `entrepot …`, which has to end with this status."""
        environment = {**self.environment, **variables}
        done = run([PROGRAM, *arguments], environment=environment, stdin=stdin, succeeds=status == 0)
        assert done.returncode == status, done.stdout + done.stderr
        return done

    def json(self, *arguments: str, **options: Any) -> Any:
        return json.loads(self.run(*arguments, "--json", **options).stdout)

    def refused(self, *arguments: str | Path, status: int, **options: Any) -> str:
        """One line that says why."""
        said = self.run(*arguments, status=status, **options)
        assert said.stdout == ""
        assert said.stderr.startswith("entrepot: ")
        assert said.stderr.count("\n") == 1
        return said.stderr

    def sign_in(self, name: str, password: str) -> None:
        self.run("login", self.set_up.server.url, "--username", name, "--password-stdin", stdin=password)
