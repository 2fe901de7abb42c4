"""PostgreSQL from a fresh initdb, on a free port of 127.0.0.1, with a database for each test that asks."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from tests.peers.presence import cannot_run, find_program
from tests.peers.process import Server, free_port, run

PACKAGE = "Debian package postgresql"
DEBIAN_VERSIONS = Path("/usr/lib/postgresql")
SUPERUSER = "entrepot"
UNPRIVILEGED_USERS = ("postgres", "nobody")
# What a test writes need not survive a power cut: the tests of durability say so where it must.
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
CONNECTIONS_MAX = 200


class PostgreSQL:
    """One server. It refuses to run as root, so root starts it as another user."""

    def __init__(self, programs: Path, connections_max: int = CONNECTIONS_MAX) -> None:
        self.programs = programs
        self._connections_max = connections_max
        self._user = _unprivileged_user()
        self._password = secrets.token_urlsafe(12)
        self.directory = Path(tempfile.mkdtemp(prefix="entrepot-postgresql-"))
        self.port = free_port()
        self.log_path = self.directory / "postgresql.log"
        self.server = Server(
            self._command(),
            log_path=self.log_path,
            stop_signal=signal.SIGINT,
            user=self._user,
        )

    @classmethod
    def installed(cls, connections_max: int = CONNECTIONS_MAX) -> Self:
        """The newest server of this machine, not started. Skips the test when there is none."""
        versions = sorted(DEBIAN_VERSIONS.glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
        on_path = find_program("initdb")
        candidates = [*versions, *([on_path.parent] if on_path else [])]
        programs = next((path for path in candidates if (path / "initdb").exists()), None)
        if programs is None:
            cannot_run("no PostgreSQL server is installed", provided_by=PACKAGE)
        return cls(programs, connections_max)

    def url(self, database: str) -> str:
        """As `database.url` of the settings has it."""
        return f"postgresql://{SUPERUSER}:{self._password}@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def new_database(self, copy_of: str = "template0") -> Iterator[str]:
        """The URL of a database, empty or a copy; dropped at the end with whoever is still connected."""
        name = f"test_{secrets.token_hex(6)}"
        names = sql.Identifier(name), sql.Identifier(copy_of.rpartition("/")[2])
        self.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
        yield self.url(name)
        self.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def empty_database(self, url: str) -> None:
        """Put an empty database in the place of one, whoever is connected."""
        name = sql.Identifier(url.rpartition("/")[2])
        self.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        self.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))

    def execute(self, statement: sql.Composable) -> None:
        """As the superuser, outside any test's database."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def start(self) -> None:
        """Make the cluster and start it."""
        passwords = self.directory / "password"
        passwords.write_text(self._password)
        if self._user is not None:
            for path in (self.directory, passwords):
                shutil.chown(path, self._user)
        command = ["--pgdata", self._cluster, "--username", SUPERUSER, "--pwfile", passwords]
        command += ["--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"]
        _run_as(self._user, [self.programs / "initdb", *command], self.directory)
        self.server.start(self._is_ready)

    def stop(self) -> None:
        """End it, whoever is connected, and remove what it kept."""
        if self.server.started:
            self.server.stop()
        shutil.rmtree(self.directory)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _cluster(self) -> Path:
        return self.directory / "cluster"

    def _command(self) -> list[str | Path]:
        options = [
            "listen_addresses=127.0.0.1",
            f"port={self.port}",
            f"unix_socket_directories={self.directory}",
            f"max_connections={self._connections_max}",
            *FAST,
        ]
        command: list[str | Path] = [self.programs / "postgres", "-D", self._cluster]
        return command + [part for option in options for part in ("-c", option)]

    def _is_ready(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True


def _unprivileged_user() -> str | None:
    """Whom to run the server as; None for whoever runs the tests."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    user = next((name for name in UNPRIVILEGED_USERS if name in known), None)
    if user is None:
        cannot_run("PostgreSQL refuses to run as root, and there is no user to run it as", provided_by=PACKAGE)
    return user


def _run_as(user: str | None, command: list[str | Path], directory: Path) -> None:
    if user is None:
        run(command, directory=directory)
        return
    subprocess.run(
        [str(part) for part in command],
        user=user,
        group=pwd.getpwnam(user).pw_gid,
        extra_groups=[],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
