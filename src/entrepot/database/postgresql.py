"""PostgreSQL, for any number of processes on any number of machines."""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, ParamSpec, TypeVar, TypeVarTuple

import psycopg
from psycopg import errors as pg
from sqlalchemy import URL, Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from entrepot.database.changes import NOTIFY_CHANNEL, ChangeFeed
from entrepot.database.errors import DatabaseUnavailable, classify

ATTEMPTS_MAX = 5
"""How often a transaction that lost against another one is tried."""
LISTEN_RETRY_SECONDS = 1.0
LISTEN_CHECK_SECONDS = 0.4
LISTEN_TRUSTED_SECONDS = 1.0
"""How long after its last sign of life the listening connection is believed: a dead one can be silent for hours."""
CONNECT_TIMEOUT_SECONDS = 10
WAIT_SECONDS = 20
"""How long a request waits for its turn: for a thread, and for one of the connections."""
REFUSED_SECONDS = 1.0
"""How long a worker does without a connection that the server had no room for, before it asks for it again."""
FROZEN_SECONDS = 5
"""How much longer than its limit a statement may stay unanswered, before the connection is given up."""
LOCK_SECONDS = 10
IDLE_IN_TRANSACTION_SECONDS = 30
"""After this the server ends a transaction whose process or machine is gone, and with it the locks that it holds."""
KEEPS_ALIVE: dict[str, Any] = {
    "tcp_user_timeout": 10_000,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}
"""A connection whose other end is gone (a fail-over) is noticed within 10 s, also while it only waits."""
_LOST = (
    pg.SerializationFailure,
    pg.DeadlockDetected,
    pg.ForeignKeyViolation,
    pg.UniqueViolation,
)

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")
log = logging.getLogger(__name__)
_NO_ROOM = ("too many clients", "too many connections", "remaining connection slots", "no more connections allowed")
_BUSY = "the registry's database is busy: try again later"
_NOTHING = text("SELECT 1")
_RELAX = text("SET LOCAL synchronous_commit = off")


class PostgreSQLDatabase:
    """One database. See `database.database.Database`."""

    def __init__(self, url: str, connections: int, statement_seconds: int) -> None:
        self._url = make_url(url).set(drivername="postgresql+psycopg")
        conninfo = _conninfo(self._url)
        limits = _limits(statement_seconds)

        def connect() -> _Connection:
            opened = _Connection.connect(
                conninfo,
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
                application_name="entrepot",
                options=limits,
                **KEEPS_ALIVE,
            )
            opened.answer_seconds = statement_seconds + FROZEN_SECONDS
            return opened

        self._engine = create_engine(
            self._url, creator=connect, pool_size=connections, max_overflow=0, pool_pre_ping=True
        )
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT", postgresql_readonly=True)
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="database")
        self._turns = threading.Semaphore(connections)
        self._feeds: list[_PostgreSQLFeed] = []

    def open_feed(self) -> ChangeFeed:
        feed = _PostgreSQLFeed(self._url, self._hold_one)
        self._feeds.append(feed)
        return feed

    async def read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        def run(until: float) -> T:
            with self._connection(self._reading, until) as connection:
                return function(connection, *args, **kwargs)

        return await self._in_thread(run)

    async def look_up(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.read(function, *args, **kwargs)

    async def write(self, function: Callable[[Connection, *Ts], T], *args: *Ts, durable: bool = True) -> T:
        return await self._in_thread(
            lambda until: self._transaction(lambda c: function(c, *args), until, durable=durable)
        )

    async def close(self) -> None:
        for feed in self._feeds:
            await feed.close()
        self._threads.shutdown(wait=True)
        self._engine.dispose()

    async def _hold_one(self) -> None:
        """Have a connection before there is anything to do with it: where others take all, who is late gets none."""
        with contextlib.suppress(DatabaseUnavailable):
            await self.read(lambda connection: connection.execute(_NOTHING).close())

    def _transaction(self, function: Callable[[Connection], T], until: float, *, durable: bool) -> T:
        attempt = 1
        while True:
            try:
                with self._connection(self._engine, until) as connection, connection.begin():
                    if not durable:
                        connection.execute(_RELAX)
                    return function(connection)
            except DBAPIError as error:
                if not isinstance(error.orig, _LOST) or attempt >= ATTEMPTS_MAX:
                    raise
                attempt += 1

    @contextlib.contextmanager
    def _connection(self, engine: Engine, until: float) -> Iterator[Connection]:
        """One of those that are open, or a new one. Where the server has no room for it, the worker shares the others.

        A turn is the right to a connection of the pool. Whoever is refused a new one keeps their turn from everybody
        for a while, so that whoever gets another turn finds an open connection waiting.
        """
        while self._turns.acquire(timeout=max(0.0, until - time.monotonic())):
            try:
                connection = engine.connect()
            except DBAPIError as error:
                if _has_room(error):
                    self._turns.release()
                    raise
                self._return_later()
                continue
            except BaseException:
                self._turns.release()
                raise
            try:
                with connection:
                    yield connection
            finally:
                self._turns.release()
            return
        raise DatabaseUnavailable(_BUSY)

    def _return_later(self) -> None:
        timer = threading.Timer(REFUSED_SECONDS, self._turns.release)
        timer.daemon = True
        timer.start()

    async def _in_thread(self, function: Callable[[float], T]) -> T:
        until = time.monotonic() + WAIT_SECONDS
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function, until)
        except DBAPIError as error:
            raise classify(error) from error


class _Connection(psycopg.Connection[Any]):
    """A connection that is given up when its server is connected and silent, as one that is frozen is."""

    answer_seconds: float | None = None

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("timeout", self.answer_seconds)
        try:
            return super().wait(gen, *args, **kwargs)
        except psycopg.OperationalError as error:
            # A time limit that expired is the only one that is not the server's; it leaves the statement unfinished.
            if error.sqlstate is None and not self.closed:
                self.pgconn.finish()
            raise


def _limits(statement_seconds: int) -> str:
    milliseconds = {
        "statement_timeout": statement_seconds * 1000,
        "lock_timeout": LOCK_SECONDS * 1000,
        "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_SECONDS * 1000,
    }
    return " ".join(f"-c {name}={value}" for name, value in milliseconds.items())


def _conninfo(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _has_room(error: DBAPIError) -> bool:
    return not any(sign in str(error.orig) for sign in _NO_ROOM)


class _PostgreSQLFeed:
    """A connection that listens. While it is down, or does not answer, nothing that is cached is trusted.

    `hold_one` is called whenever the server is there, at the start and after a fail-over.
    """

    def __init__(self, url: URL, hold_one: Callable[[], Coroutine[None, None, None]]) -> None:
        self._conninfo = _conninfo(url)
        self._hold_one = hold_one
        self._holding: asyncio.Task[None] | None = None
        self._topics: list[str] = []
        self._missed = True
        self._trusted_until = 0.0
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._listen())

    @property
    def trusted(self) -> bool:
        return self._loop.time() < self._trusted_until

    def poll(self) -> tuple[str, ...] | None:
        trusted = self.trusted
        if self._missed or not trusted:
            self._missed = not trusted
            self._topics.clear()
            return None
        if not self._topics:
            return ()
        topics = tuple(self._topics)
        self._topics.clear()
        return topics

    async def close(self) -> None:
        for task in (self._task, self._holding):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _listen(self) -> None:
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._conninfo,
                    autocommit=True,
                    connect_timeout=CONNECT_TIMEOUT_SECONDS,
                    application_name="entrepot listener",
                    **KEEPS_ALIVE,
                ) as connection:
                    await connection.execute(f"LISTEN {NOTIFY_CHANNEL}")
                    self._missed = True
                    if self._holding is None or self._holding.done():
                        self._holding = self._loop.create_task(self._hold_one())
                    while True:
                        # What was committed before the question is announced before the answer.
                        asked = self._loop.time()
                        await connection.execute("SELECT 1")
                        self._trusted_until = asked + LISTEN_TRUSTED_SECONDS
                        async for notification in connection.notifies(timeout=LISTEN_CHECK_SECONDS):
                            self._topics.append(notification.payload)
            except psycopg.Error as error:
                log.warning("not listening for changes, nothing is cached until this works again: %s", error)
            finally:
                self._trusted_until = 0.0
            await asyncio.sleep(LISTEN_RETRY_SECONDS)
