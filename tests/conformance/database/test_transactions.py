"""What a transaction promises, whatever it does."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, insert, text

from entrepot.content import repositories
from entrepot.content.tables import repositories as repositories_table
from entrepot.content.tables import tags as tags_table
from entrepot.database.database import Database
from entrepot.database.errors import DatabaseUnavailable
from entrepot.database.open import open_database
from entrepot.database.postgresql import ATTEMPTS_MAX
from entrepot.database.sqlite import SQLiteDatabase
from entrepot.oci.name import RepositoryName
from entrepot.settings import DatabaseSettings
from tests.conformance.database.conftest import POSTGRESQL, SQLITE
from tests.conformance.database.content import EVERYTHING, NOW_MS, REPOSITORY
from tests.peers.process import free_port

pytestmark = pytest.mark.anyio


def add(connection: Connection, name: str = REPOSITORY) -> None:
    connection.execute(insert(repositories_table).values(name=name, created_at_ms=NOW_MS))


def names(connection: Connection) -> list[str]:
    return repositories.names(connection, EVERYTHING, "", 1000)


@pytest.mark.parametrize("durable", [True, False])
async def test_what_is_written_is_seen_by_everybody(database: Database, other: Database, durable: bool) -> None:
    await database.write(add, durable=durable)

    for worker in (database, other):
        assert await worker.read(names) == [REPOSITORY]
        assert await worker.look_up(names) == [REPOSITORY]


@pytest.mark.parametrize("backend", [SQLITE], indirect=True)
async def test_reading_cannot_write(database: Database) -> None:
    """PostgreSQL lacks this: a read there is a statement by itself, and a read-only one would cost two more trips."""
    for reading in (database.read, database.look_up):
        with pytest.raises(DatabaseUnavailable):
            await reading(add)
    assert await database.read(names) == []


async def test_answer_of_the_function_is_answered(database: Database) -> None:
    for run in (database.read, database.look_up):
        assert await run(lambda connection, a, *, b: (a, b), 1, b=2) == (1, 2)
    for durable in (True, False):
        assert await database.write(lambda connection, a, b: (a, b), 1, 2, durable=durable) == (1, 2)


async def test_error_undoes_the_transaction_and_goes_on_as_it_is(database: Database) -> None:
    class DomainError(Exception):
        pass

    def fail(connection: Connection) -> None:
        add(connection)
        raise DomainError

    with pytest.raises(DomainError):
        await database.write(fail)
    assert await database.read(names) == []
    await database.write(add)


async def test_failing_transactions_do_not_harm_their_neighbours(database: Database) -> None:
    def sometimes(connection: Connection, number: int) -> int:
        add(connection, f"repository/{number:03}")
        if number % 3 == 0:
            raise ValueError(number)
        if number % 3 == 1:
            add(connection, f"repository/{number:03}")
        return number

    outcomes = await asyncio.gather(
        *(database.write(sometimes, number) for number in range(90)), return_exceptions=True
    )

    for number, outcome in enumerate(outcomes):
        expected: type | int = (ValueError, DatabaseUnavailable, number)[number % 3]
        assert outcome == expected if number % 3 == 2 else isinstance(outcome, expected)  # type: ignore[arg-type]
    assert await database.read(names) == [f"repository/{number:03}" for number in range(90) if number % 3 == 2]


async def test_foreign_keys_hold(database: Database) -> None:
    def point_nowhere(connection: Connection) -> None:
        values = {"repository_id": 1, "name": "v1", "manifest_id": 1, "hidden": False, "updated_at_ms": NOW_MS}
        connection.execute(insert(tags_table).values(values))

    with pytest.raises(DatabaseUnavailable):
        await database.write(point_nowhere)


async def test_reads_and_writes_of_many_requests_at_once(database: Database, other: Database) -> None:
    async def request(number: int) -> bool:
        worker = (database, other)[number % 2]
        name = RepositoryName(f"repository/{number}")
        await worker.write(repositories.ensure, name, NOW_MS, durable=False)
        return await worker.read(repositories.find, name) is not None

    assert all(await asyncio.gather(*(request(number) for number in range(200))))


async def test_request_that_stops_waiting_disturbs_nobody(database: Database) -> None:
    waiting = [asyncio.create_task(database.write(add, f"repository/{number}")) for number in range(20)]
    await asyncio.sleep(0)
    for task in waiting[::2]:
        task.cancel()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)

    assert not any(isinstance(outcome, Exception) for outcome in outcomes[1::2])
    assert {f"repository/{number}" for number in range(1, 20, 2)} <= set(await database.read(names))


async def test_sqlite_file_that_is_none_fails_instead_of_waiting(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    path.write_bytes(b"this is no database" * 1000)
    database = SQLiteDatabase(path)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            await database.write(add)
        with pytest.raises(DatabaseUnavailable):
            await database.read(names)

    path.unlink()
    await database.write(lambda connection: connection.execute(text("CREATE TABLE mended (id INTEGER)")) and None)
    await database.close()


@pytest.mark.parametrize("backend", [POSTGRESQL], indirect=True)
@pytest.mark.parametrize("code", ["40001", "40P01", "23503", "23505"])
async def test_transaction_that_loses_is_tried_again(database: Database, code: str) -> None:
    calls: list[int] = []

    def lose_twice(connection: Connection) -> str:
        add(connection)
        calls.append(1)
        if len(calls) <= 2:
            connection.execute(text(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$"))
        return "done"

    assert await database.write(lose_twice) == "done"
    assert len(calls) == 3
    assert await database.read(names) == [REPOSITORY]


@pytest.mark.parametrize("backend", [POSTGRESQL], indirect=True)
async def test_transaction_that_always_loses_gives_up(database: Database) -> None:
    calls: list[int] = []

    def lose(connection: Connection) -> None:
        calls.append(1)
        connection.execute(text("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$"))

    with pytest.raises(DatabaseUnavailable):
        await database.write(lose)
    assert len(calls) == ATTEMPTS_MAX


@pytest.mark.parametrize("backend", [POSTGRESQL], indirect=True)
async def test_deadlock_is_resolved(database: Database, other: Database) -> None:
    await database.write(add, "a")
    await database.write(add, "b")
    both_hold_one = asyncio.Barrier(2)
    loop = asyncio.get_running_loop()
    calls: list[str] = []

    def lock(connection: Connection, name: str) -> None:
        connection.execute(
            text("UPDATE repositories SET created_at_ms = created_at_ms + 1 WHERE name = :n"), {"n": name}
        )

    def crosswise(connection: Connection, first: str, second: str) -> None:
        calls.append(first)
        lock(connection, first)
        if len(calls) <= 2:
            asyncio.run_coroutine_threadsafe(both_hold_one.wait(), loop).result()
        lock(connection, second)

    await asyncio.gather(database.write(crosswise, "a", "b"), other.write(crosswise, "b", "a"))

    assert len(calls) == 3

    def counts(connection: Connection) -> list[int]:
        return list(connection.execute(text("SELECT created_at_ms FROM repositories")).scalars())

    assert await database.read(counts) == [NOW_MS + 2, NOW_MS + 2]


@pytest.mark.parametrize("backend", [POSTGRESQL], indirect=True)
async def test_connections_that_the_server_ended_are_replaced(database: Database, url: str) -> None:
    await asyncio.gather(*(database.write(add, f"repository/{number}") for number in range(8)))
    with psycopg.connect(url, autocommit=True) as superuser:
        superuser.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    await asyncio.gather(*(database.write(add, f"later/{number}") for number in range(8)))
    assert len(await database.read(names)) == 16


@pytest.mark.parametrize("backend", [POSTGRESQL], indirect=True)
async def test_connection_that_is_lost_in_a_transaction_is_unavailable(database: Database) -> None:
    def lose(connection: Connection) -> None:
        add(connection)
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(DatabaseUnavailable):
        await database.write(lose)
    assert await database.read(names) == []
    await database.write(add)


async def test_postgresql_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    settings = DatabaseSettings(url=f"postgresql://user:secret@127.0.0.1:{free_port()}/nothing")
    database = open_database(settings, tmp_path)
    runs: list[Callable[..., object]] = [database.read, database.look_up, database.write]
    for run in runs:
        with pytest.raises(DatabaseUnavailable) as failed:
            await run(names)  # type: ignore[misc]
        assert "secret" not in failed.value.message
    await database.close()
