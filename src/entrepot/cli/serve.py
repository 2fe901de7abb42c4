"""`entrepot serve`."""

import logging
import multiprocessing
import os
import stat
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from entrepot import settings as settings_module
from entrepot.cli import direct
from entrepot.cli.options import ConfigFile, Data
from entrepot.cli.output import greet
from entrepot.clock import system_clock
from entrepot.database.database import Database
from entrepot.errors import EntrepotError, Unavailable
from entrepot.identity import passwords, users
from entrepot.identity.keys import load_or_make
from entrepot.lifecycle import key_identity, store_identity
from entrepot.lifecycle.store_identity import DatabaseOlder, StoreForeign
from entrepot.settings import Settings
from entrepot.storage.open import open_store
from entrepot.telemetry import logging as telemetry_logging

log = logging.getLogger(__name__)
PASSWORD_VARIABLE = "ENTREPOT_ADMIN_PASSWORD"  # noqa: S105 (a name, not a password)


def serve(
    data: Data = None,
    listen: Annotated[
        str | None,
        typer.Option("--listen", metavar="HOST:PORT", help="The address to listen on (default: 127.0.0.1:5000)."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", metavar="N", help="Worker processes (default: one for each processor, four at most)."
        ),
    ] = None,
    config: ConfigFile = None,
    tls_cert: Annotated[Path | None, typer.Option("--tls-cert", metavar="FILE", help="PEM certificate chain.")] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="PEM key, PKCS#8.")] = None,
) -> None:
    """Start the registry."""
    overrides = {
        "data": data,
        "server.listen": listen,
        "server.workers": workers,
        "server.tls_cert": tls_cert,
        "server.tls_key": tls_key,
    }
    settings = settings_module.load(config, overrides=overrides)
    # Imported here because the other commands do without the web server.
    from entrepot.server import check_address
    from entrepot.server import serve as run
    from entrepot.web_server import require_version

    require_version()
    check_address(settings.server.listen)
    telemetry_logging.configure(settings.log.level)
    make_private(settings)
    direct.write(settings, key_identity.check, load_or_make(settings.keys_directory))
    meet_store(settings)
    password = first_administrator(settings)
    _greet(settings, password)
    command = [sys.executable, "-m", "entrepot", "maintenance", "--data", str(settings.data)]
    run(settings, [*command, "--config", str(config)] if config is not None else command)


def make_private(settings: Settings) -> None:
    """Keep other users of this machine from reading the data: password hashes, private images, keys.

    If a directory's owner is another user, its mode cannot be changed, and only a warning is logged.
    """
    for directory in {settings.data, *local_directories(settings)}:
        try:
            closed = close_to_others(directory)
        except OSError as error:
            log.warning(
                "other users of this machine can read %s, and its mode could not be changed: %s", directory, error
            )
            continue
        if closed:
            log.warning("other users of this machine could read %s: removed their access", directory)


def local_directories(settings: Settings) -> list[Path]:
    """The directories of blobs, if they are on this machine."""
    return [Path(urlsplit(settings.storage.url).path)] if settings.storage.url.startswith("file:") else []


def close_to_others(directory: Path) -> bool:
    """Create the directory if necessary and close it to others. Returns whether it was open to them before.

    A group may keep a directory that somebody else owns, as platforms do that run programs under numbers of their own.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = directory.stat()
    own = status.st_uid == os.getuid()
    open_bits = status.st_mode & (0o077 if own else 0o007)
    if open_bits:
        directory.chmod(stat.S_IMODE(status.st_mode) & ~open_bits)
    return bool(open_bits)


def meet_store(settings: Settings) -> None:
    """Check that the store and the database belong together. Raises StoreForeign.

    In a process of its own: what an object store's client keeps in a process does not survive that it forks workers.
    """
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_compare_and_tell, args=(settings, sending))
    process.start()
    sending.close()
    try:
        problem: str | None = receiving.recv()
    except EOFError:
        problem = "could not check whether the storage belongs to the database: see the log"
    process.join()
    if problem is not None:
        raise StoreForeign(problem)


def _compare_and_tell(settings: Settings, sending: Connection) -> None:
    try:
        direct.work(settings, lambda database: _compare(settings, database))
    except EntrepotError as error:
        sending.send(error.message)
    except Exception:
        # What ends a process is written by Python as it is, and the log is where it is looked for.
        log.exception("could not check whether the storage belongs to the database")
    else:
        sending.send(None)


async def _compare(settings: Settings, database: Database) -> None:
    store = open_store(settings.storage, settings.data, lambda blob: None)
    try:
        await store_identity.advance(database, store)
    except DatabaseOlder as error:
        log.error("%s", error.message)
    except Unavailable as error:
        log.warning("cannot check now whether the storage belongs to the database: %s", error.message)
    finally:
        await store.close()


def first_administrator(settings: Settings) -> str | None:
    """Create the administrator if there is none. Returns the password if this process generated it.

    Raises PasswordTooWeak if a given password breaks the rules.
    """
    given = os.environ.get(PASSWORD_VARIABLE)
    if direct.write(settings, users.has_administrator):
        return None
    if given:
        passwords.check_rules(users.ADMINISTRATOR, given, settings.login.password_characters_min)
    password = given or passwords.generate()
    password_hash = passwords.hash_password(password)
    made = direct.write(settings, users.add_administrator, users.ADMINISTRATOR, password_hash, system_clock())
    # Of several replicas that start at once one makes it: the passwords of the others are nobody's.
    return password if made and not given else None


def _greet(settings: Settings, password: str | None) -> None:
    """Print what a new user needs to get started. To standard error, since standard output is for the log."""
    scheme = "https" if settings.server.tls_cert else "http"
    host = settings.server.listen
    lines = [f"Entrepot is starting on {scheme}://{host}; its data is in {settings.data.absolute()}"]
    if password is not None:
        lines += [
            "",
            f"  administrator: {users.ADMINISTRATOR}",
            f"  password:      {password}     (shown only once; to reset it: entrepot admin reset-password)",
        ]
    lines += [
        "",
        f"  docker login {host} --username {users.ADMINISTRATOR}",
        f"  docker tag alpine {host}/team/alpine",
        f"  docker push {host}/team/alpine",
        "",
    ]
    greet(lines)
