"""The set-ups that every story is told to."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.peers.entrepot import PROGRAM, Entrepot
from tests.peers.postgresql import PostgreSQL
from tests.peers.process import run
from tests.peers.seaweedfs import SeaweedFS

ALONE, SHARED = "sqlite-files", "postgresql-s3"
POLLS_MAX = 100
POLL_SECONDS = 0.02
ANSWERS = 8
"""Enough for each worker to have given one."""


@dataclass(frozen=True)
class SetUp:
    """A running registry. `redirects` when it sends clients elsewhere for large blobs."""

    name: str
    server: Entrepot
    config: Path

    @property
    def redirects(self) -> bool:
        return self.name == SHARED

    def soon(self, holds: Callable[[], bool]) -> bool:
        """Whether what one request has changed holds for the next ones, whichever worker answers them.

        At once over SQLite; over PostgreSQL the news takes some milliseconds to reach the other workers.
        """
        for _ in range(POLLS_MAX if self.name == SHARED else 1):
            if all(holds() for _ in range(ANSWERS)):
                return True
            time.sleep(POLL_SECONDS)
        return False

    def command(self, *arguments: str, succeeds: bool = True) -> str:
        """Run `entrepot …` beside the server, as its operator does; answers what it printed."""
        options = ["--data", self.server.data, "--config", self.config]
        return run([PROGRAM, *arguments, *options], succeeds=succeeds).stdout


@contextmanager
def alone(directory: Path) -> Iterator[SetUp]:
    """SQLite and local files: nothing else is needed."""
    with started(ALONE, directory, "") as set_up:
        yield set_up


@contextmanager
def shared(directory: Path, postgresql: PostgreSQL, seaweedfs: SeaweedFS) -> Iterator[SetUp]:
    """PostgreSQL and S3: as any number of replicas use them."""
    with postgresql.new_database() as database_url:
        config = f"[database]\nurl = {json.dumps(database_url)}\n"
        config += f"[storage]\nurl = {json.dumps(seaweedfs.new_url())}\n[storage.options]\n"
        config += "".join(f"{key} = {json.dumps(value)}\n" for key, value in seaweedfs.options().items())
        with started(SHARED, directory, config) as set_up:
            yield set_up


@contextmanager
def started(name: str, directory: Path, config: str) -> Iterator[SetUp]:
    with Entrepot(directory, config=config or "# all defaults\n") as server:
        yield SetUp(name, server, directory / "entrepot.toml")
    server.remove_data()
