"""Backups as the guide says: its commands, run as they stand there by a shell beside the registry."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.peers.entrepot import PROGRAM
from tests.peers.postgresql import PostgreSQL
from tests.peers.presence import REPOSITORY, require_program
from tests.peers.process import ProcessFailed, run
from tests.peers.seaweedfs import SeaweedFS

GUIDE = REPOSITORY / "docs/guide/backup.md"
ALONE, SHARED = "SQLite and local files", "PostgreSQL and an object store"
AFTERWARDS = "After a restore"
RUNS_MAX = 10
"""How often a command is run that the guide says to run again."""
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(heading: str) -> list[list[str]]:
    """The commands below a heading of the guide, block by block."""
    section = GUIDE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = [block.splitlines() for block in _BLOCK.findall(section)]
    assert found, heading
    return found


@dataclass(frozen=True)
class Shell:
    """Runs the guide's commands in a directory; the guide's addresses are replaced by the tests'."""

    directory: Path
    programs: tuple[Path, ...]
    addresses: Mapping[str, str]
    environment: Mapping[str, str]

    def run(self, command: str, *, succeeds: bool = True) -> str:
        """What the command printed, also what went wrong."""
        for written, real in self.addresses.items():
            command = command.replace(written, real)
        environment = {**self.environment, "PATH": os.pathsep.join([*map(str, self.programs), os.environ["PATH"]])}
        done = run(["sh", "-c", command], environment=environment, directory=self.directory, succeeds=succeeds)
        return done.stdout + done.stderr

    def run_until_done(self, command: str) -> None:
        """As `run`, again and again where the guide says so: objects come and go while `aws` copies."""
        for _ in range(RUNS_MAX - 1):
            try:
                self.run(command)
            except ProcessFailed:
                if not command.startswith("aws "):
                    raise
            else:
                return
        self.run(command)


def shell_alone(directory: Path) -> Shell:
    return Shell(directory, (PROGRAM.parent,), {}, {})


def shell_shared(directory: Path, postgresql: PostgreSQL, database_url: str, store_url: str, s3: SeaweedFS) -> Shell:
    """With the programs that the guide names."""
    aws, options = require_program("aws", package="awscli"), s3.options()
    return Shell(
        directory,
        (PROGRAM.parent, postgresql.programs, aws.parent),
        {
            "postgresql://entrepot@db.example/entrepot": database_url,
            "s3://images/entrepot": store_url,
            "https://s3.example": s3.endpoint,
        },
        {
            "AWS_ACCESS_KEY_ID": options["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": options["secret_access_key"],
            "AWS_DEFAULT_REGION": options["region"],
        },
    )
