"""The root command. Each command is loaded when it is called; errors become one line and an exit status."""

import importlib
import os
import sys
from collections.abc import Mapping
from importlib import metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from entrepot.cli import output
from entrepot.cli.errors import FAILED, NotReachable, status_of
from entrepot.errors import EntrepotError, Unavailable

OPERATING, USING = "Run a registry", "Use a registry"
COMMANDS: Mapping[str, tuple[str, str, str]] = {
    # name: module in this folder, function (or `app` for a group of commands), panel in the help
    "serve": ("serve", "serve", OPERATING),
    "maintenance": ("maintenance", "maintenance", OPERATING),
    "collect": ("maintenance", "collect", OPERATING),
    "storage": ("storage", "app", OPERATING),
    "migrate": ("migrate", "migrate", OPERATING),
    "config": ("config", "app", OPERATING),
    "admin": ("admin", "app", OPERATING),
    "keys": ("keys", "app", OPERATING),
    "login": ("login", "login", USING),
    "logout": ("login", "logout", USING),
    "use": ("login", "use", USING),
    "whoami": ("login", "whoami", USING),
    "user": ("user", "app", USING),
    "group": ("group", "app", USING),
    "robot": ("robot", "app", USING),
    "token": ("token", "app", USING),
    "role": ("role", "app", USING),
    "grant": ("grant", "app", USING),
    "namespace": ("namespace", "app", USING),
    "repository": ("repository", "app", USING),
    "access": ("access", "app", USING),
    "audit": ("audit", "app", USING),
}
CAUSE_CHARACTERS_MAX = 300
CONTEXT = {"help_option_names": ["-h", "--help"]}


class Commands(TyperGroup):
    """Imports a command's module only when the command is called or its help is shown, as most import slowly."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        with output.usage_shown():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        with output.usage_shown():
            return super().invoke(ctx)

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, function, panel = COMMANDS[cmd_name]
        found = getattr(importlib.import_module(f"entrepot.cli.{module}"), function)
        command: Any
        if isinstance(found, typer.Typer):
            command = get_group(found)
        else:
            single = typer.Typer(add_completion=False)
            single.command(cmd_name)(found)
            command = get_command(single)
        command.name = cmd_name
        command.rich_help_panel = panel
        command.context_settings = {**command.context_settings, **CONTEXT}
        return command


app = typer.Typer(
    name="entrepot",
    cls=Commands,
    help="Entrepot, a private container registry.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=CONTEXT,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        output.line(f"entrepot {metadata.version('entrepot')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Entrepot, a private container registry."""


def _told(error: EntrepotError) -> str:
    """The message, with the cause when something behind the registry fails: whoever runs a command may fix it."""
    cause = error.__cause__
    if cause is None or not isinstance(error, Unavailable) or isinstance(error, NotReachable):
        return error.message
    said = next(iter(str(getattr(cause, "orig", cause)).strip().splitlines()), type(cause).__name__)[
        :CAUSE_CHARACTERS_MAX
    ]
    return error.message if said in error.message else f"{error.message} ({said})"


def main() -> None:
    # What any command makes is its owner's alone, whatever the shell says.
    os.umask(0o077)
    output.show_warnings()
    status = _run()
    if "obstore" in sys.modules:
        # Its threads may still ask for the interpreter's lock. Where the interpreter has ended by then, that aborts the
        # process: 1 of 10 runs of `collect` over S3 on a busy machine.
        os._exit(status)
    sys.exit(status)


def _run() -> int:
    """Call the command and flush its output. Returns the exit status."""
    try:
        try:
            app()
        except SystemExit as end:
            output.flush()
            return end.code if isinstance(end.code, int) else 0
    except EntrepotError as error:
        # Imported here because it takes 100 ms that commands without settings do without.
        from entrepot.settings import SettingsInvalid

        output.fail(_told(error), lines=isinstance(error, SettingsInvalid))
        return status_of(error)
    except OSError as error:
        # The machine's own words name the file or the address that is not as it should be.
        output.fail(str(error))
        return FAILED
    except Exception as error:
        output.crash(error)
        return FAILED
    return 0
