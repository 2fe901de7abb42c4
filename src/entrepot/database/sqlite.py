"""SQLite in WAL mode, for any number of processes on one machine.

Writes of a process go through one thread, which commits whatever has gathered while the last commit reached the disk
as one transaction (a savepoint each, so one that fails does not harm the others).
"""

import asyncio
import fcntl
import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, TypeVarTuple

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.pool import NullPool

from entrepot.database.changes import ChangeFeed
from entrepot.database.errors import UNAVAILABLE, DatabaseUnavailable, classify

READ_THREADS = 4
BATCH_MAX = 64
"""Transactions in one commit, at most."""
BUSY_TIMEOUT_SECONDS = 30
CACHE_KIB = 32 * 1024
MMAP_BYTES = 1024 * 1024 * 1024

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")
log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Job:
    """A transaction that waits for its commit."""

    function: Callable[[Connection], Any]
    durable: bool
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"
    result: Any = None
    error: BaseException | None = field(default=None)


class SQLiteDatabase:
    """One database file. See `database.database.Database`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._engine = _engine(path)
        self._readers = ThreadPoolExecutor(READ_THREADS, thread_name_prefix="database-read")
        self._connections = threading.local()
        self._open_connections: list[Connection] = []
        self._writer = _Writer(self._engine, path)
        self._writer.start()

    def open_feed(self) -> ChangeFeed:
        try:
            return _SQLiteFeed(self._path)
        except sqlite3.Error as error:
            raise DatabaseUnavailable(UNAVAILABLE) from error

    async def read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(
                self._readers, lambda: function(self._reading_connection(), *args, **kwargs)
            )
        except DBAPIError as error:
            raise classify(error) from error

    async def look_up(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        # In the event loop: some 100 microseconds, where the trip to a thread alone takes as long. Readers of a WAL
        # database wait for nobody.
        try:
            return function(self._reading_connection(), *args, **kwargs)
        except DBAPIError as error:
            raise classify(error) from error

    async def write(self, function: Callable[[Connection, *Ts], T], *args: *Ts, durable: bool = True) -> T:
        return await self._writer.submit(lambda connection: function(connection, *args), durable=durable)

    async def close(self) -> None:
        self._writer.stop()
        self._readers.shutdown(wait=True)
        for connection in self._open_connections:
            connection.close()
        self._engine.dispose()

    def _reading_connection(self) -> Connection:
        connection: Connection | None = getattr(self._connections, "connection", None)
        if connection is None:
            connection = self._engine.connect()
            connection.exec_driver_sql("PRAGMA query_only = ON")
            self._connections.connection = connection
            self._open_connections.append(connection)
        return connection


class _Writer:
    """The thread that writes."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self._engine = engine
        # SQLite's own lock makes waiting processes sleep and poll, up to 100 ms a time; the kernel wakes the next
        # holder of this file's lock at once.
        self._lock = os.open(path.with_name(path.name + "-lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="database-write", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._jobs.put(None)
        self._thread.join()

    async def submit(self, function: Callable[[Connection], T], *, durable: bool) -> T:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(function, durable, loop, future))
        return await future

    def _run(self) -> None:
        connection: Connection | None = None
        control: _Control | None = None
        while (job := self._jobs.get()) is not None:
            batch = [job, *self._waiting()]
            try:
                if connection is None or control is None:
                    connection = self._engine.connect()
                    control = _Control(connection)
                with _locked(self._lock):
                    _commit(connection, control, batch)
            except Exception as error:
                # Whatever it was: the requests wait for an answer, and the next ones for this thread. They get a new
                # connection: one that was opened while the disk refused writes never writes, when the disk does again.
                if not isinstance(error, DBAPIError):
                    log.exception("the thread that writes the database failed")
                _fail(batch, error)
                if connection is not None:
                    connection.close()
                connection = control = None
            _answer(batch)
        if connection is not None:
            connection.close()
        os.close(self._lock)

    def _waiting(self) -> Iterator[_Job]:
        for _ in range(BATCH_MAX - 1):
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return
            if job is None:
                self._jobs.put(None)
                return
            yield job


class _SQLiteFeed:
    """Asks SQLite whether any connection committed since the last time; reads the announcements if so.

    The header of the WAL index, which all processes share in memory, tells it ten times as fast. But whoever opens that
    file beside SQLite, and closes it, lets go of all locks that SQLite has on it in this process.
    """

    trusted = True

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_SECONDS)
        self._connection.execute("PRAGMA query_only = ON")
        self._version = -1
        self._last = self._newest()

    def poll(self) -> tuple[str, ...] | None:
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return ()
        self._version = version
        rows = self._connection.execute(
            "SELECT id, topic FROM changes WHERE id > ? ORDER BY id", (self._last,)
        ).fetchall()
        if not rows:
            return ()
        missed = rows[0][0] != self._last + 1
        self._last = rows[-1][0]
        return None if missed else tuple(topic for _, topic in rows)

    def _newest(self) -> int:
        # The sequence, not the newest row: all announcements may have been pruned.
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'changes'").fetchone()
        return int(row[0]) if row else 0


def _engine(path: Path) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_SECONDS},
    )
    event.listen(engine, "connect", _set_up)
    return engine


def _set_up(connection: Any, record: object) -> None:
    """Connection settings; the journal mode is kept in the file."""
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        f"cache_size = -{CACHE_KIB}",
        f"mmap_size = {MMAP_BYTES}",
        "temp_store = MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}")


@contextmanager
def _locked(lock: int) -> Iterator[None]:
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)


def _commit(connection: Connection, control: "_Control", batch: list[_Job]) -> None:
    """Run the batch as one transaction; a job's error is the job's, a failing commit is everybody's."""
    try:
        # A commit that nobody needs on stable storage skips the fsync: the next durable one covers it, in order.
        control.synchronize(any(job.durable for job in batch))
        control.execute("BEGIN IMMEDIATE")
        if len(batch) == 1:
            _run_job(connection, batch[0])
            control.execute("COMMIT" if batch[0].error is None else "ROLLBACK")
            return
        for job in batch:
            control.execute("SAVEPOINT job")
            _run_job(connection, job)
            if job.error is not None:
                control.execute("ROLLBACK TO job")
            control.execute("RELEASE job")
        control.execute("COMMIT")
    except DBAPIError:
        control.roll_back()
        raise


def _fail(batch: list[_Job], error: Exception) -> None:
    failure = classify(error) if isinstance(error, DBAPIError) else DatabaseUnavailable(UNAVAILABLE)
    failure.__cause__ = error
    for job in batch:
        job.error = job.error or failure


def _run_job(connection: Connection, job: _Job) -> None:
    if job.future.cancelled():
        return
    try:
        job.result = job.function(connection)
    except DBAPIError as error:
        if not isinstance(error, IntegrityError):
            raise
        job.error = DatabaseUnavailable("this conflicted with another change at the same time: try again")
        job.error.__cause__ = error
    except Exception as error:
        job.error = error


class _Control:
    """Statements that begin and end transactions, past SQLAlchemy: 4 microseconds each instead of 40."""

    def __init__(self, connection: Connection) -> None:
        driver_connection = connection.connection.driver_connection
        assert isinstance(driver_connection, sqlite3.Connection)
        self._cursor = driver_connection.cursor()
        self._synchronous: bool | None = None

    def synchronize(self, durable: bool) -> None:
        """Whether the next commit is to wait for stable storage."""
        if durable is not self._synchronous:
            self.execute("PRAGMA synchronous = FULL" if durable else "PRAGMA synchronous = NORMAL")
            self._synchronous = durable

    def execute(self, statement: str) -> None:
        try:
            self._cursor.execute(statement)
        except sqlite3.Error as error:
            raise DBAPIError(statement, None, error) from error

    def roll_back(self) -> None:
        try:
            self._cursor.execute("ROLLBACK")
        except sqlite3.Error:
            # SQLite already rolled back (disk full, I/O error): there is no transaction to end.
            log.debug("no transaction to roll back", exc_info=True)


def _answer(batch: list[_Job]) -> None:
    """Wake the requests, with one call into each event loop."""
    for loop in {job.loop for job in batch}:
        loop.call_soon_threadsafe(_resolve, [job for job in batch if job.loop is loop])


def _resolve(batch: list[_Job]) -> None:
    for job in batch:
        if job.future.done():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)
