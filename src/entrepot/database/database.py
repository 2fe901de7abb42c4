"""The metadata database as the rest of the program sees it.

A transaction is a plain function whose first argument is the connection. It runs in a thread, whole, so it can await
nothing: no body, no store, no other service is ever inside a transaction.
"""

from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar, TypeVarTuple

from sqlalchemy import Connection

from entrepot.database.changes import ChangeFeed

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Database(Protocol):
    """SQLite or PostgreSQL. Methods raise DatabaseUnavailable and DatabaseHasNoSpace."""

    def open_feed(self) -> ChangeFeed:
        """A new reader of what changes from now on; it belongs to the thread (the event loop) that opens it."""
        ...

    async def read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function with a connection that only reads."""
        ...

    async def look_up(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As read, for a function that finds a few rows by their keys: SQLite needs no thread for that."""
        ...

    async def write(self, function: Callable[[Connection, *Ts], T], *args: *Ts, durable: bool = True) -> T:
        """Call the function in a transaction. When this returns, the transaction is on stable storage.

        If it is not durable, a power cut may undo it (never out of order): for what a client can do again. The function
        may be called again when it loses against another transaction. Bind its keyword arguments with `partial`."""
        ...

    async def close(self) -> None: ...
