"""Commands that work on the registry's database itself, whether or not the server runs."""

import asyncio
import os
import pwd
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar, TypeVarTuple

from sqlalchemy import Connection

from entrepot import settings as settings_module
from entrepot.app import App, open_app
from entrepot.audit import record
from entrepot.audit.record import Act
from entrepot.clock import system_clock
from entrepot.database.database import Database
from entrepot.database.open import database_url, open_database
from entrepot.errors import NotFound
from entrepot.identity.keys import Keys, load_or_make
from entrepot.migrations import schema
from entrepot.principal import CONSOLE, NOWHERE, Caller, Principal
from entrepot.settings import Settings
from entrepot.telemetry.metrics import Metrics

OPERATOR = "operator"
"""The provider, in the audit log, of who has access to the data directory; the name is the operating system's."""

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def write(settings: Settings, function: Callable[[Connection, *Ts], T], *args: *Ts) -> T:
    """Call a domain's function in a transaction; workers that run see the change with their next request."""

    return work(settings, lambda database: database.write(function, *args))


def work(settings: Settings, function: Callable[[Database], Awaitable[T]]) -> T:
    """Call what takes more than one transaction."""

    async def run() -> T:
        database = open_database(settings.database, settings.data)
        try:
            return await function(database)
        finally:
            await database.close()

    upgrade(settings)
    return asyncio.run(run())


def upgrade(settings: Settings) -> bool:
    """Bring the database to the newest schema; True when something was done. Raises SchemaTooNew."""
    return schema.upgrade(database_url(settings.database, settings.data))


class RegistryMissing(NotFound):
    code = "registry_missing"


def load(data: Path | None, config: Path | None) -> Settings:
    """The settings of the registry that a command's options name; `serve` and `migrate` make one, no other command.

    Raises SettingsInvalid, and RegistryMissing where there is none.
    """
    settings = settings_module.load(config, overrides={"data": data})
    if not schema.exists(database_url(settings.database, settings.data)):
        where = "the database that database.url names" if settings.database.url else settings.data.absolute()
        raise RegistryMissing(
            f"there is no registry in {where}: name its data directory with --data, and its settings with --config"
        )
    return settings


def keys_of(settings: Settings) -> Keys:
    """The registry's own keys. Raises KeysUnreadable, and RegistryMissing where there are none."""
    directory = settings.keys_directory
    if not directory.is_dir():
        raise RegistryMissing(
            f"there are no keys of a registry in {directory.absolute()}: name its data directory with --data"
        )
    return load_or_make(directory)


def operator_name() -> str:
    """Whose process this is, by the kernel: variables such as LOGNAME say what anybody likes.

    In a container a number may have no name.
    """
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid-{uid}"


def operator() -> Caller:
    """Who runs this, and answers for it in the audit log."""
    return Caller(Principal(OPERATOR, operator_name(), credential=CONSOLE), NOWHERE)


def composed_record(act: Act) -> bytes:
    """The record of what the operator does."""
    return record.compose(system_clock(), operator(), act)


def change(
    settings: Settings, act: Act, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Call a domain's function in a transaction, with a record of it in the audit log."""
    return write(
        settings, record.with_record(lambda connection: function(connection, *args, **kwargs), composed_record(act))
    )


def act(settings: Settings, action: Callable[[App, Caller], Awaitable[T]]) -> T:
    """Have the operator do what the API lets its users do, by the same function."""

    async def run() -> T:
        async with open_app(settings, Metrics()) as app:
            return await action(app, operator())

    upgrade(settings)
    return asyncio.run(run())
