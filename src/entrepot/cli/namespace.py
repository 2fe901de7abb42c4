"""`entrepot namespace …`."""

from typing import Annotated

import typer

from entrepot import settings as settings_module
from entrepot.cli import direct
from entrepot.cli.options import JSON, ConfigFile, Data
from entrepot.cli.tables import show
from entrepot.clock import system_clock
from entrepot.namespaces import namespaces
from entrepot.oci.name import RepositoryName

app = typer.Typer(help="Namespaces: who may pull from what is below them.", no_args_is_help=True)
Path = Annotated[str, typer.Argument(help="A namespace or a repository; / is the whole registry.")]


@app.command()
def public(path: Path, data: Data = None, config: ConfigFile = None) -> None:
    """Let everybody pull from the repositories below, without signing in."""
    _set(path, True, data, config)


@app.command()
def private(path: Path, data: Data = None, config: ConfigFile = None) -> None:
    """Let only those pull who are allowed to (the default)."""
    _set(path, False, data, config)


@app.command()
def inherit(path: Path, data: Data = None, config: ConfigFile = None) -> None:
    """Remove the setting: what holds for the namespace above holds again."""
    settings = settings_module.load(config, overrides={"data": data})
    removed = direct.write(settings, namespaces.inherit, _parse(path))
    typer.echo(f"{path} {'inherits now' if removed else 'had no setting of its own'}")


@app.command("list")
def listing(data: Data = None, config: ConfigFile = None, json: JSON = False) -> None:
    """Show the namespaces that have a setting of their own."""
    settings = settings_module.load(config, overrides={"data": data})
    rows = direct.write(settings, namespaces.listing)
    show(("namespace", "public"), [(row.path or "/", row.public) for row in rows], json=json)


def _set(path: str, public: bool, data: "Data", config: "ConfigFile") -> None:
    settings = settings_module.load(config, overrides={"data": data})
    direct.write(settings, namespaces.set_public, _parse(path), public, system_clock())
    typer.echo(f"{path} is {'public' if public else 'private'} now")


def _parse(path: str) -> str:
    return "" if path == "/" else RepositoryName.parse(path.strip("/"))
