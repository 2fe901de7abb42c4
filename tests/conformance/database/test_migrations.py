"""The schema: what the migrations make is what the domains' tables say, on both databases, and all or nothing."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, LargeBinary, create_engine, event, inspect, make_url, text
from sqlalchemy.pool import NullPool

import entrepot.migrations
from entrepot.errors import Unavailable
from entrepot.migrations import schema
from entrepot.migrations.schema import SchemaLocked, SchemaTooNew
from tests.conformance.database.conftest import POSTGRESQL, SQLITE
from tests.peers.entrepot import PROGRAM
from tests.peers.process import run

SECONDS_MAX = 60

KILLED_AT_THE_SIXTH_TABLE = """
import os, signal, sys
from sqlalchemy import Engine, event
from entrepot.migrations import schema

tables = 0

@event.listens_for(Engine, "after_cursor_execute")
def count(connection, cursor, statement, parameters, context, executemany):
    global tables
    tables += "CREATE TABLE" in statement
    if tables == 6:
        os.kill(os.getpid(), signal.SIGKILL)

schema.upgrade(sys.argv[1])
"""
UPGRADE = "import sys; from entrepot.migrations import schema; print(schema.upgrade(sys.argv[1]))"


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    parsed = make_url(url)
    if parsed.get_backend_name() == POSTGRESQL:
        parsed = parsed.set(drivername="postgresql+psycopg")
    with create_engine(parsed, poolclass=NullPool).begin() as connection:
        yield connection


def tables(url: str) -> set[str]:
    with connected(url) as connection:
        return set(inspect(connection).get_table_names())


def revision(url: str) -> str | None:
    with connected(url) as connection:
        return schema.revision(connection)


def test_empty_database_gets_the_newest_schema(empty_url: str) -> None:
    assert revision(empty_url) is None
    assert schema.upgrade(empty_url)

    assert revision(empty_url) == schema.HEAD
    assert tables(empty_url) == {*schema.complete_metadata().tables, "alembic_version"}
    assert not schema.upgrade(empty_url)


def test_migrations_make_what_the_domains_say(url: str) -> None:
    with connected(url) as connection:
        options = {"compare_type": True, "compare_server_default": True}
        differences = compare_metadata(MigrationContext.configure(connection, opts=options), schema.complete_metadata())

    assert differences == []


def test_primary_and_foreign_keys_are_those_of_the_domains(url: str) -> None:
    """Which Alembic does not compare in full."""
    with connected(url) as connection:
        inspector = inspect(connection)
        for name, table in schema.complete_metadata().tables.items():
            assert inspector.get_pk_constraint(name)["constrained_columns"] == [c.name for c in table.primary_key], name
            made = {
                (tuple(key["constrained_columns"]), key["referred_table"], key["options"].get("ondelete"))
                for key in inspector.get_foreign_keys(name)
            }
            said = {
                (tuple(key.column_keys), key.referred_table.name, key.ondelete) for key in table.foreign_key_constraints
            }
            assert made == said, name


@pytest.mark.parametrize("backend", [SQLITE], indirect=True)
def test_sqlite_tables_are_stored_as_the_domains_say(url: str) -> None:
    with connected(url) as connection:
        statements = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
        made = {name: ("WITHOUT ROWID" in sql, "AUTOINCREMENT" in sql) for name, sql in statements}
    said = {
        name: (
            table.dialect_options[SQLITE]["with_rowid"] is False,
            table.dialect_options[SQLITE]["autoincrement"] is True,
        )
        for name, table in schema.complete_metadata().tables.items()
    }

    assert {name: made[name] for name in said} == said


def test_number_of_a_row_is_never_used_again() -> None:
    """Edges, pages of referrers, grants and records remember numbers: none may become another row's."""
    for name, table in schema.complete_metadata().tables.items():
        if table.autoincrement_column is not None:
            assert table.dialect_options[SQLITE]["autoincrement"] is True, name


def test_bytes_are_apart_from_the_facts_that_lists_read() -> None:
    """In tables of their own, or at the end of rows that are read for them."""
    small = {"id_hash", "state_hash", "secret_hash", "attempt"}
    with_bytes = {
        name: [column.name for column in table.columns if isinstance(column.type, LargeBinary)]
        for name, table in schema.complete_metadata().tables.items()
    }
    large = {name: columns for name, columns in with_bytes.items() if set(columns) - small}

    assert set(large) == {"blob_contents", "manifest_contents", "uploads"}
    for name, columns in large.items():
        assert columns == [column.name for column in schema.complete_metadata().tables[name].columns][-len(columns) :]


@pytest.mark.parametrize("backend", [POSTGRESQL], indirect=True)
def test_postgresql_text_that_is_listed_sorts_by_byte(url: str) -> None:
    with connected(url) as connection:
        collations = connection.execute(
            text("SELECT table_name || '.' || column_name, collation_name FROM information_schema.columns")
        )
        by_byte = {name for name, collation in collations if collation == "C"}

    assert {"repositories.name", "tags.name", "namespaces.path", "blobs.digest", "users.name"} <= by_byte


def test_head_is_the_trees_only_one() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(entrepot.migrations.__file__).parent))

    assert ScriptDirectory.from_config(config).get_heads() == [schema.HEAD]


def test_database_of_a_newer_version_is_refused_and_left_alone(url: str) -> None:
    with connected(url) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    before = tables(url)

    with pytest.raises(SchemaTooNew, match="9999"):
        schema.upgrade(url)
    assert revision(url) == "9999"
    assert tables(url) == before


def test_processes_that_start_at_once_upgrade_once(empty_url: str) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", UPGRADE, empty_url], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    outputs = [process.communicate(timeout=SECONDS_MAX) for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    assert sorted(output.strip() for output, _ in outputs) == [b"False", b"False", b"True"]
    assert revision(empty_url) == schema.HEAD


def test_process_that_is_killed_in_the_middle_leaves_nothing(empty_url: str) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_AT_THE_SIXTH_TABLE, empty_url], capture_output=True, timeout=SECONDS_MAX
    )
    assert killed.returncode == -9, killed

    # Alembic's own table, empty, may be there: on PostgreSQL it is made beforehand.
    assert tables(empty_url) <= {"alembic_version"}
    assert revision(empty_url) is None
    assert schema.upgrade(empty_url)
    assert tables(empty_url) == {*schema.complete_metadata().tables, "alembic_version"}


def test_migration_that_fails_in_the_middle_leaves_nothing(empty_url: str) -> None:
    """A table that is there already, as another program would have left it."""
    with connected(empty_url) as connection:
        connection.execute(text("CREATE TABLE tags (id INTEGER)"))

    with pytest.raises(Unavailable):
        schema.upgrade(empty_url)
    assert tables(empty_url) <= {"tags", "alembic_version"}
    assert revision(empty_url) is None


@pytest.mark.parametrize("backend", [POSTGRESQL], indirect=True)
def test_migration_that_others_keep_waiting_gives_up_and_says_who(empty_url: str, tmp_path: Path) -> None:
    with psycopg.connect(empty_url, autocommit=True, application_name="a backup") as other:
        other.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)")
        with other.transaction():
            other.execute("LOCK TABLE alembic_version IN SHARE MODE")
            with pytest.raises(SchemaLocked) as raised:
                schema.upgrade(empty_url)
            assert "application 'a backup'" in raised.value.message
            assert f"pg_terminate_backend({other.info.backend_pid})" in raised.value.message
            assert (tables(empty_url), revision(empty_url)) == ({"alembic_version"}, None)

            command = run(
                [PROGRAM, "migrate", "--data", tmp_path],
                environment={"ENTREPOT_DATABASE_URL": empty_url},
                succeeds=False,
            )
            assert (command.returncode, command.stdout) == (1, "")
            (line,) = command.stderr.splitlines()
            assert line.startswith("entrepot: the database was not migrated")
            assert f"process {other.info.backend_pid} " in line
    assert schema.upgrade(empty_url)


@pytest.mark.parametrize("backend", [POSTGRESQL], indirect=True)
def test_process_waits_longer_for_another_that_migrates(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "LOCK_SECONDS", 1)
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [schema.ADVISORY_LOCK])
        release = threading.Timer(2, lambda: other.execute("SELECT pg_advisory_unlock(%s)", [schema.ADVISORY_LOCK]))
        release.start()
        assert not schema.upgrade(url)
        release.join()


@pytest.mark.parametrize("backend", [POSTGRESQL], indirect=True)
def test_migration_notices_that_the_other_end_of_its_connection_is_gone(url: str) -> None:
    parameters: list[dict[str, str]] = []

    def connected_to(opened: Any, record: object) -> None:
        parameters.append(opened.info.get_parameters())

    event.listen(Engine, "connect", connected_to)
    try:
        schema.upgrade(url)
    finally:
        event.remove(Engine, "connect", connected_to)
    assert parameters
    for given in parameters:
        assert {"tcp_user_timeout", "keepalives_idle", "keepalives_interval", "connect_timeout"} <= set(given)


@pytest.mark.parametrize("backend", [SQLITE], indirect=True)
def test_sqlite_is_left_in_wal_mode(empty_url: str) -> None:
    schema.upgrade(empty_url)

    with connected(empty_url) as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"


def test_upgrading_what_is_newest_changes_no_row(url: str) -> None:
    table = schema.complete_metadata().tables["namespaces"]
    row = {"path": "team", "public": True, "created_at_ms": 1}
    with connected(url) as connection:
        connection.execute(table.insert(), row)
    assert not schema.upgrade(url)

    with connected(url) as connection:
        assert [dict(kept._mapping) for kept in connection.execute(table.select())] == [row]
