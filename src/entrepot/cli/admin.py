"""`entrepot admin …`: on the data directory, when nobody can sign in any more."""

from typing import Annotated

import typer

from entrepot.cli.options import ConfigFile, Data
from entrepot.cli.output import exact, say
from entrepot.cli.secret_input import Generate, PasswordStdin, new_password

app = typer.Typer(help="When nobody can sign in any more: on the data directory.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """When nobody can sign in any more: on the data directory."""


@app.command("reset-password")
def reset_password(
    name: Annotated[str, typer.Argument(metavar="[USER]", help="A user of this registry.")] = "admin",
    administrator: Annotated[
        bool, typer.Option("--administrator", help="Make the user an administrator; add the user if there is none.")
    ] = False,
    password_stdin: PasswordStdin = False,
    generate: Generate = False,
    data: Data = None,
    config: ConfigFile = None,
) -> None:
    """Set the password of a user, enable the user, and forget wrong passwords. The registry may be running."""
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
    say(f"the password of {name} is changed{', who is an administrator' if administrator else ''}")
    if generated:
        exact(password)
