"""`entrepot user …`."""

from typing import Annotated

import typer

from entrepot import settings as settings_module
from entrepot.cli import direct
from entrepot.cli.options import ConfigFile, Data
from entrepot.errors import NotFound
from entrepot.identity import passwords, users

app = typer.Typer(help="Users of this registry.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Users of this registry."""


@app.command()
def password(
    name: Annotated[str, typer.Argument(help="The user.")] = users.ADMINISTRATOR,
    data: Data = None,
    config: ConfigFile = None,
) -> None:
    """Set a local user's password, asked for on the terminal."""
    settings = settings_module.load(config, overrides={"data": data})
    new = typer.prompt("New password", hide_input=True, confirmation_prompt=True)
    if not direct.write(settings, users.set_password, name, passwords.hash_password(new)):
        raise NotFound(f"there is no local user {name}")
    typer.echo(f"the password of {name} is changed")
