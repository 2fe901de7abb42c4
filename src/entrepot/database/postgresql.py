"""PostgreSQL, for any number of processes on any number of machines."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

import psycopg
from psycopg import errors as pg
from sqlalchemy import URL, Connection, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from entrepot.database.changes import NOTIFY_CHANNEL, ChangeFeed
from entrepot.database.errors import classify

ATTEMPTS_MAX = 5
"""How often a transaction that lost against another one is tried."""
LISTEN_RETRY_SECONDS = 1.0
LISTEN_CHECK_SECONDS = 0.4
LISTEN_TRUSTED_SECONDS = 1.0
"""How long after its last sign of life the listening connection is believed: a dead one can be silent for hours."""
LISTEN_DEAD_MILLISECONDS = 10_000
CONNECT_TIMEOUT_SECONDS = 10
_LOST = (
    pg.SerializationFailure,
    pg.DeadlockDetected,
    pg.ForeignKeyViolation,
    pg.UniqueViolation,
)

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger(__name__)
_RELAX = text("SET LOCAL synchronous_commit = off")


class PostgreSQLDatabase:
    """One database. See `database.database.Database`."""

    def __init__(self, url: str, connections: int) -> None:
        self._url = make_url(url).set(drivername="postgresql+psycopg")
        self._engine = create_engine(
            self._url,
            pool_size=connections,
            max_overflow=0,
            pool_pre_ping=True,
            connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS, "application_name": "entrepot"},
        )
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT", postgresql_readonly=True)
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="database")
        self._feeds: list[_PostgreSQLFeed] = []

    def open_feed(self) -> ChangeFeed:
        feed = _PostgreSQLFeed(self._url)
        self._feeds.append(feed)
        return feed

    async def read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        def run() -> T:
            with self._reading.connect() as connection:
                return function(connection, *args, **kwargs)

        return await self._in_thread(run)

    async def look_up(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.read(function, *args, **kwargs)

    async def write(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._in_thread(lambda: self._transaction(lambda c: function(c, *args, **kwargs), durable=True))

    async def write_soon(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self._in_thread(lambda: self._transaction(lambda c: function(c, *args, **kwargs), durable=False))

    async def close(self) -> None:
        for feed in self._feeds:
            await feed.close()
        self._threads.shutdown(wait=True)
        self._engine.dispose()

    def _transaction(self, function: Callable[[Connection], T], *, durable: bool) -> T:
        attempt = 1
        while True:
            try:
                with self._engine.begin() as connection:
                    if not durable:
                        connection.execute(_RELAX)
                    return function(connection)
            except DBAPIError as error:
                if not isinstance(error.orig, _LOST) or attempt >= ATTEMPTS_MAX:
                    raise
                attempt += 1

    async def _in_thread(self, function: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function)
        except DBAPIError as error:
            raise classify(error) from error


class _PostgreSQLFeed:
    """A connection that listens. While it is down, or does not answer, nothing that is cached is trusted."""

    def __init__(self, url: URL) -> None:
        self._conninfo = url.set(drivername="postgresql").render_as_string(hide_password=False)
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
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _listen(self) -> None:
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._conninfo,
                    autocommit=True,
                    connect_timeout=CONNECT_TIMEOUT_SECONDS,
                    tcp_user_timeout=LISTEN_DEAD_MILLISECONDS,
                ) as connection:
                    await connection.execute(f"LISTEN {NOTIFY_CHANNEL}")
                    self._missed = True
                    while True:
                        # What was committed before the question is announced before the answer.
                        asked = self._loop.time()
                        await connection.execute("SELECT 1")
                        self._trusted_until = asked + LISTEN_TRUSTED_SECONDS
                        async for notification in connection.notifies(timeout=LISTEN_CHECK_SECONDS):
                            self._topics.append(notification.payload)
            except psycopg.Error as error:
                log.warning("not listening for changes, nothing is cached meanwhile: %s", error)
            finally:
                self._trusted_until = 0.0
            await asyncio.sleep(LISTEN_RETRY_SECONDS)
