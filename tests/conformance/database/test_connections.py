"""Connections to PostgreSQL that the server has no room for, and those whose other end is silent."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Connection, make_url, text

from entrepot.database import postgresql
from entrepot.database.database import Database
from entrepot.database.errors import DatabaseUnavailable
from entrepot.database.open import open_database
from entrepot.settings import DatabaseSettings
from tests.conformance.database.conftest import POSTGRESQL

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("backend", [POSTGRESQL], indirect=True)]

ROOM = 3
"""Connections that the server has for all workers together."""


@pytest.fixture
def crowded_url(url: str) -> Iterator[str]:
    """The database as a role that may have ROOM connections."""
    name, password = f"crowded_{os.getpid()}", "secret"
    role = sql.Identifier(name)
    with psycopg.connect(url, autocommit=True) as superuser:
        superuser.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} CONNECTION LIMIT {}").format(role, password, sql.Literal(ROOM))
        )
        yield make_url(url).set(username=name, password=password).render_as_string(hide_password=False)
        superuser.execute(sql.SQL("DROP ROLE {}").format(role))


@asynccontextmanager
async def opened(url: str, **settings: int) -> AsyncIterator[Database]:
    database = open_database(DatabaseSettings.model_validate({"url": url, **settings}), Path())
    yield database
    await database.close()


def own_process(connection: Connection) -> int:
    return int(connection.execute(text("SELECT pg_backend_pid() FROM pg_sleep(0.01)")).scalar_one())


async def test_requests_share_what_is_open_where_the_server_has_no_room(crowded_url: str) -> None:
    async with opened(crowded_url) as one, opened(crowded_url) as two:
        for worker in (one, two):
            await worker.read(own_process)

        processes = await asyncio.gather(
            *((one, two)[number % 2].read(own_process) for number in range(100)),
            *((one, two)[number % 2].write(own_process) for number in range(100)),
        )

    assert len(set(processes)) <= ROOM


async def test_request_waits_for_room_no_longer_than_its_limit(
    crowded_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "WAIT_SECONDS", 0.5)
    monkeypatch.setattr(postgresql, "REFUSED_SECONDS", 0.1)
    async with opened(crowded_url) as late:
        with all_room_taken(crowded_url), pytest.raises(DatabaseUnavailable, match="busy"):
            await late.read(own_process)
        assert await late.read(own_process)


async def test_statement_ends_at_its_limit(url: str) -> None:
    async with opened(url, statement_seconds=1) as database:
        for run in (database.read, database.write):
            with pytest.raises(DatabaseUnavailable):
                await run(lambda connection: connection.execute(text("SELECT pg_sleep(600)")) and None)


async def test_server_that_is_connected_and_silent_is_given_up(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "FROZEN_SECONDS", 0.5)
    async with opened(url, statement_seconds=1) as database:
        with frozen() as freeze:

            def freeze_within(connection: Connection) -> None:
                freeze(own_process(connection))
                connection.execute(text("SELECT 1"))

            idle = {await database.read(own_process) for _ in range(3)}
            for process in idle:
                freeze(process)
            assert await database.read(own_process) not in idle
            with pytest.raises(DatabaseUnavailable):
                await database.write(freeze_within)
            processes = await asyncio.gather(*(database.write(own_process) for _ in range(20)))
            assert not idle.intersection(processes)


async def test_connections_notice_that_their_other_end_is_gone(url: str) -> None:
    def parameters(connection: Connection) -> dict[str, str]:
        raw = connection.connection.dbapi_connection
        assert isinstance(raw, psycopg.Connection)
        return raw.info.get_parameters()

    async with opened(url) as database:
        assert {"tcp_user_timeout", "keepalives_idle", "keepalives_interval"} <= set(await database.read(parameters))


@contextmanager
def all_room_taken(url: str) -> Iterator[None]:
    others = [psycopg.connect(url) for _ in range(ROOM)]
    yield
    for other in others:
        other.close()


class _Frozen:
    def __init__(self) -> None:
        self.processes: list[int] = []

    def __call__(self, process: int) -> None:
        os.kill(process, signal.SIGSTOP)
        self.processes.append(process)


@contextmanager
def frozen() -> Iterator[_Frozen]:
    """Stops processes of the server; the kernel goes on to take what is sent to them. They go on at the end."""
    freeze = _Frozen()
    try:
        yield freeze
    finally:
        for process in freeze.processes:
            os.kill(process, signal.SIGCONT)
