"""Commands that work on the registry's database itself, whether or not the server runs."""

import asyncio
import os
import pwd
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from entrepot import settings as settings_module
from entrepot.audit import record
from entrepot.audit.record import Act
from entrepot.clock import system_clock
from entrepot.database.database import Database
from entrepot.database.open import database_url, open_database
from entrepot.migrations import schema
from entrepot.principal import NOWHERE, Credential, Principal
from entrepot.settings import Settings

OPERATOR = "operator"
"""The provider, in the audit log, of who has access to the data directory; the name is the operating system's."""
CONSOLE = Credential("console")

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


def load(data: Path | None, config: Path | None) -> Settings:
    """The settings that a command's options name. Raises SettingsInvalid."""
    return settings_module.load(config, overrides={"data": data})


def operator_name() -> str:
    """Whose process this is, by the kernel: variables such as LOGNAME say what anybody likes.

    In a container a number may have no name.
    """
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid-{uid}"


def composed_record(act: Act) -> bytes:
    """The record of what the operator does."""
    operator = Principal(OPERATOR, operator_name(), credential=CONSOLE)
    return record.compose(system_clock(), operator, NOWHERE, act)


def change(
    settings: Settings, act: Act, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Call a domain's function in a transaction, with a record of it in the audit log: who runs this answers for it."""
    composed = composed_record(act)

    def both(connection: Connection) -> T:
        result = function(connection, *args, **kwargs)
        record.write(connection, composed)
        return result

    return write(settings, both)
