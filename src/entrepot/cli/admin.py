"""`entrepot admin …`: works on the data directory, for when nobody can sign in any more."""

from typing import Annotated

import typer

from entrepot.cli.options import ConfigFile, Data
from entrepot.cli.output import exact, say
from entrepot.cli.secret_input import Generate, PasswordStdin, new_password

app = typer.Typer(help="Repair access when nobody can sign in. Works on the data directory.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Repair access when nobody can sign in. Works on the data directory."""


@app.command("reset-password")
def reset_password(
    name: Annotated[str, typer.Argument(metavar="[USER]", help="A local user.")] = "admin",
    administrator: Annotated[
        bool,
        typer.Option(
            "--administrator", help="Make the user an administrator, and create the user if it does not exist."
        ),
    ] = False,
    password_stdin: PasswordStdin = False,
    generate: Generate = False,
    data: Data = None,
    config: ConfigFile = None,
) -> None:
    """Set a user's password, enable the user and reset failed attempts. The registry may be running."""
    from entrepot.actions.manage import recover
    from entrepot.audit.actions import Action
    from entrepot.audit.record import Act
    from entrepot.cli import direct
    from entrepot.clock import system_clock
    from entrepot.identity import passwords

    settings = direct.load(data, config)
    password, generated = new_password(stdin=password_stdin, generate=generate)
    passwords.check_rules(name, password, settings.login.password_characters_min)
    act = Act(Action.PASSWORD_RESET, f"user:local:{name}", detail={"administrator": administrator})
    password_hash = passwords.hash_password(password)
    direct.change(
        settings, act, recover.reset_password, name, password_hash, system_clock(), administrator=administrator
    )
    say(f"changed the password of {name}{', who is an administrator' if administrator else ''}")
    if generated:
        exact(password)
