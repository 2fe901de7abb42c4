"""Commands that work on the registry's database itself, whether or not the server runs."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from entrepot.database.database import Database
from entrepot.database.open import database_url, open_database
from entrepot.migrations import schema
from entrepot.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")


def write(
    settings: Settings, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Call a domain's function in a transaction; workers that run see the change with their next request."""

    return work(settings, lambda database: database.write(function, *args, **kwargs))


def work(settings: Settings, function: Callable[[Database], Awaitable[T]]) -> T:
    """Call what takes more than one transaction."""

    async def run() -> T:
        database = open_database(settings.database, settings.data)
        try:
            return await function(database)
        finally:
            await database.close()

    schema.upgrade(database_url(settings.database, settings.data))
    return asyncio.run(run())
