"""Brings a database to the newest schema, and tells whether it is."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, Engine, MetaData, create_engine, inspect, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from entrepot.access import tables as access
from entrepot.audit import tables as audit
from entrepot.content import tables as content
from entrepot.database import tables as database
from entrepot.database.base import metadata
from entrepot.database.errors import classify
from entrepot.errors import Unavailable
from entrepot.identity import tables as identity
from entrepot.lifecycle import tables as lifecycle
from entrepot.namespaces import tables as namespaces

HEAD = "0001"
"""The newest revision; a test compares it with the tree. Known here so that starting need not load Alembic (0.2 s)."""
ADVISORY_LOCK = 0x656E7472
APPLICATION_NAME = "entrepot migration"
LOCK_SECONDS = 5
"""How long a migration waits for a lock on PostgreSQL. Whoever wants that table waits behind it, and gives up later."""
_LOCK_NOT_AVAILABLE = "55P03"
_LOCKED = (
    f"the database was not migrated: tables to change are in use, and waiting was given up after {LOCK_SECONDS} s, "
    "so that nobody waits behind it"
)
_ENDS_WITH_ITS_MACHINE = (
    "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3 -c tcp_user_timeout=10000"
)
"""The same as KEEPS_ALIVE, for the server: what a machine that is gone has locked is free again within 11 s."""
_HOLDERS_MAX = 3
_HOLDERS = text("""
    SELECT pid, usename, application_name, round(extract(epoch FROM now() - xact_start)) AS seconds
    FROM pg_stat_activity AS sessions
    WHERE datname = current_database() AND xact_start IS NOT NULL AND application_name <> :own AND EXISTS (
        SELECT FROM pg_locks WHERE pg_locks.pid = sessions.pid AND locktype = 'relation' AND granted
    ) AND pid <> pg_backend_pid()
    ORDER BY xact_start LIMIT :count
""")
DOMAINS = (access, audit, content, database, identity, lifecycle, namespaces)
"""Imported so that the metadata is complete."""


@cache
def complete_metadata() -> MetaData:
    """All tables, with all of their indexes."""
    audit.index_refusals()
    return metadata


class SchemaTooNew(Unavailable):
    code = "schema_too_new"


class SchemaLocked(Unavailable):
    code = "schema_locked"


def upgrade(url: str) -> bool:
    """Migrate to HEAD if needed; True when something was done. Any number of processes may call this at once.

    Raises SchemaTooNew for a database that a newer version of this program has migrated, SchemaLocked for one where
    others hold what has to be changed."""
    engine = _engine(url)
    try:
        with _alone(engine), engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                # Kept in the file. While several processes open a new database, some would find it locked.
                connection.exec_driver_sql("PRAGMA journal_mode = WAL")
            before = revision(connection)
            if before == HEAD:
                return False
            with _whole(connection):
                _run_alembic(connection, before)
            return True
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE:
            raise SchemaLocked(_locked(engine)) from None
        raise classify(error) from error
    finally:
        engine.dispose()


def exists(url: str) -> bool:
    """Whether a registry has its tables there. Makes nothing, not even an empty file. Raises Unavailable."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        return False
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            return revision(connection) is not None
    except DBAPIError as error:
        raise classify(error) from error
    finally:
        engine.dispose()


def revision(connection: Connection) -> str | None:
    """The database's revision, None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _run_alembic(connection: Connection, before: str | None) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise SchemaTooNew(
            f"the database has revision {before}, which this version does not know: run a newer version ({error})"
        ) from error


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        # Imported here because it takes 50 ms, and a registry on SQLite starts without it.
        from entrepot.database.postgresql import CONNECT_TIMEOUT_SECONDS, KEEPS_ALIVE

        arguments = {
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "application_name": APPLICATION_NAME,
            "options": f"-c lock_timeout={LOCK_SECONDS * 1000} {_ENDS_WITH_ITS_MACHINE}",
            **KEEPS_ALIVE,
        }
        return create_engine(parsed.set(drivername="postgresql+psycopg"), poolclass=NullPool, connect_args=arguments)
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    return create_engine(parsed, poolclass=NullPool, isolation_level="AUTOCOMMIT")


def _locked(engine: Engine) -> str:
    """What a person has to know to go on."""
    with contextlib.suppress(DBAPIError), engine.connect() as connection:
        holders = connection.execute(_HOLDERS, {"own": APPLICATION_NAME, "count": _HOLDERS_MAX}).all()
        if holders:
            named = ", ".join(
                f"process {pid} (user {name!r}, application {application!r}, {seconds} s)"
                for pid, name, application, seconds in holders
            )
            return (
                f"{_LOCKED}. Open transactions: {named}. Wait until they end, or end one "
                f"(SELECT pg_terminate_backend({holders[0].pid})), and start this again"
            )
    return f"{_LOCKED}. Look for open transactions (pg_stat_activity), and start this again when they have ended"


@contextmanager
def _whole(connection: Connection) -> Iterator[None]:
    """What is done here is done as a whole, or not at all when it fails or the process dies.

    On PostgreSQL Alembic sees to that, for each migration. Python's SQLite would commit each table by itself.
    """
    if connection.dialect.name == "postgresql":
        yield
        connection.commit()
        return
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    """One process at a time migrates a database."""
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            # However long another one takes: nobody else waits behind this.
            connection.execute(text("SET lock_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
            yield
        return
    file = os.open(f"{engine.url.database}-migrate", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
