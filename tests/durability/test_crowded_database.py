"""A PostgreSQL whose `max_connections` others use up: the registry goes on with what it has, or says it has none."""

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.durability.conftest import WORKERS, MakeEntrepot
from tests.durability.exchange import Connection, connection_to_each_worker
from tests.durability.pushes import Acknowledged, make_image, push_image, put_manifest
from tests.peers.entrepot import Entrepot
from tests.peers.postgresql import PostgreSQL
from tests.peers.process import descendants

CONNECTIONS_MAX = 24
SPARE = 5
"""Connections beside those of the processes, as the guide says."""
POOL = 6
"""Connections that each worker would like to have."""
PROCESSES = WORKERS + 1
REPOSITORY = "durability/crowded"
CLIENTS, PUSHES_EACH = 12, 3
WAIT_SECONDS_MAX = 30
POLL_SECONDS = 0.1


@pytest.fixture(scope="module")
def small_postgresql() -> Iterator[PostgreSQL]:
    with PostgreSQL.installed(connections_max=CONNECTIONS_MAX) as server:
        yield server


class Crowd:
    """Clients that take every connection which they can get."""

    def __init__(self, url: str, stack: ExitStack) -> None:
        self._url = url
        self._stack = stack
        self._connections: list[psycopg.Connection[tuple[Any, ...]]] = []

    def fill(self) -> None:
        """Until there is no room."""
        while True:
            try:
                connection = psycopg.connect(self._url, autocommit=True, application_name="crowd")
            except psycopg.OperationalError:
                return
            self._stack.callback(connection.close)
            self._connections.append(connection)

    def leave(self, count: int) -> None:
        """Make room for so many."""
        for _ in range(count):
            self._connections.pop().close()

    def drive_out(self) -> None:
        """End all connections of the registry's that requests use, and take their places."""
        while self.end("entrepot"):
            self.fill()

    def end(self, *names: str) -> int:
        """End the connections of these names, and tell how many there were."""
        query = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = ANY(%s)"
        return len(self._connections[0].execute(query, [list(names)]).fetchall())

    def client_ports(self, name: str) -> set[int]:
        """Where the connections of this name come from."""
        query = "SELECT client_port FROM pg_stat_activity WHERE application_name = %s"
        return {port for (port,) in self._connections[0].execute(query, [name])}


@contextmanager
def _crowd(url: str) -> Iterator[Crowd]:
    with ExitStack() as stack:
        crowd = Crowd(url, stack)
        crowd.fill()
        yield crowd


def _wait_until_each_process_has_one(registry: Entrepot, crowd: Crowd) -> None:
    """Beside the connection that listens. Nobody has asked for anything."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        listening, pooled = crowd.client_ports("entrepot listener"), crowd.client_ports("entrepot")
        ports = [_local_ports(pid) for pid in descendants(registry.server.pid)]
        if sum(bool(own & listening and own & pooled) for own in ports) == PROCESSES:
            return
        assert time.monotonic() < deadline, (listening, pooled, ports)
        time.sleep(POLL_SECONDS)


def _local_ports(pid: int) -> set[int]:
    """Those of the process's sockets."""
    sockets = {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if f"socket:[{row[9]}]" in sockets}


def test_pushes_share_the_connections_that_are_open_and_are_refused_only_without_any(
    make_entrepot: MakeEntrepot, small_postgresql: PostgreSQL
) -> None:
    with small_postgresql.new_database() as url:
        registry = make_entrepot(workers=WORKERS, config=f'[database]\nurl = "{url}"\nconnections = {POOL}\n')
        registry.start()
        acknowledged = Acknowledged()

        def push(client: int) -> None:
            chance = random.Random(client)
            with Connection(registry) as connection:
                for number in range(PUSHES_EACH):
                    image, tag = make_image(chance, layer_bytes=40_000), f"client-{client}-{number}"
                    push_image(connection, REPOSITORY, tag, image)
                    acknowledged.images[REPOSITORY, tag] = image

        with ExitStack() as stack:
            workers = connection_to_each_worker(registry, WORKERS, stack)
            with _crowd(url) as crowd:
                with ThreadPoolExecutor(CLIENTS) as clients:
                    list(clients.map(push, range(CLIENTS)))
                acknowledged.assert_there(registry)

                crowd.drive_out()
                image = make_image(random.Random(CLIENTS))
                for worker in workers:
                    refused = put_manifest(worker, REPOSITORY, "refused", image.manifest)
                    assert (refused.status, refused.headers.get("retry-after")) == (503, "5"), refused
                    assert refused.error["code"] == "UNAVAILABLE"
            for number, worker in enumerate(workers):
                push_image(worker, REPOSITORY, f"after-{number}", image)
                acknowledged.images[REPOSITORY, f"after-{number}"] = image
            acknowledged.assert_there(registry)
        registry.stop()


def test_each_process_has_a_connection_before_others_take_all_at_the_start_and_after_a_fail_over(
    make_entrepot: MakeEntrepot, small_postgresql: PostgreSQL
) -> None:
    with small_postgresql.new_database() as url, _crowd(url) as crowd, ExitStack() as stack:
        crowd.leave(PROCESSES * 2 + SPARE)
        registry = make_entrepot(workers=WORKERS, config=f'[database]\nurl = "{url}"\nconnections = {POOL}\n')
        registry.start()
        workers = connection_to_each_worker(registry, WORKERS, stack)
        for tag in ("started", "failed-over"):
            _wait_until_each_process_has_one(registry, crowd)
            crowd.fill()
            for number, worker in enumerate(workers):
                push_image(worker, REPOSITORY, f"{tag}-{number}", make_image(random.Random(f"{tag}-{number}")))
            crowd.end("entrepot", "entrepot listener")
            crowd.leave(SPARE)
        registry.stop()
