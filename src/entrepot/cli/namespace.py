"""`entrepot namespace …`: uses the API or, with `--data` or `--config`, the data directory."""

from pathlib import Path
from typing import Annotated

import typer

from entrepot.cli.options import JSON, ConfigFile, Data
from entrepot.cli.output import line, show
from entrepot.cli.remote import CaFile, Url, connect, is_direct
from entrepot.oci.name import RepositoryName

app = typer.Typer(help="Manage namespaces: make them public or private.", no_args_is_help=True)
PathArgument = Annotated[
    str, typer.Argument(metavar="PATH", help="A namespace or a repository; / means the whole registry.")
]


@app.command()
def public(
    path: PathArgument, url: Url = None, ca_file: CaFile = None, data: Data = None, config: ConfigFile = None
) -> None:
    """Let everyone pull from the repositories below it without signing in."""
    _set(path, "public", url, ca_file, data, config)


@app.command()
def private(
    path: PathArgument, url: Url = None, ca_file: CaFile = None, data: Data = None, config: ConfigFile = None
) -> None:
    """Let only users with the permission pull. This is the default."""
    _set(path, "private", url, ca_file, data, config)


@app.command()
def inherit(
    path: PathArgument, url: Url = None, ca_file: CaFile = None, data: Data = None, config: ConfigFile = None
) -> None:
    """Remove the setting, so that the namespace above decides again."""
    _set(path, "inherit", url, ca_file, data, config)


@app.command("list")
def listing(
    url: Url = None, ca_file: CaFile = None, data: Data = None, config: ConfigFile = None, json: JSON = False
) -> None:
    """List the namespaces that have a setting of their own."""
    if is_direct(url, data, config):
        from entrepot.cli import direct
        from entrepot.namespaces import namespaces

        found = direct.write(direct.load(data, config), namespaces.listing)
        rows = [(row.path or "/", row.public) for row in found]
    else:
        with connect(url, ca_file) as client:
            rows = [(entry["path"] or "/", entry["visibility"] == "public") for entry in client.pages("/namespaces")]
    show(("namespace", "public"), rows, json=json)


def _set(
    path: str, visibility: str, url: str | None, ca_file: Path | None, data: Path | None, config: Path | None
) -> None:
    name = "" if path == "/" else RepositoryName.parse(path.strip("/"))
    if is_direct(url, data, config):
        changed = _set_directly(name, visibility, data, config)
    else:
        changed = _set_by_api(name, visibility, url, ca_file)
    if visibility == "inherit":
        line(f"{path} {'now inherits' if changed else 'had no setting of its own'}")
    else:
        line(f"{path} is now {visibility}")


def _set_by_api(name: str, visibility: str, url: str | None, ca_file: Path | None) -> bool:
    from entrepot.errors import NotFound

    address = f"/namespaces/{name}"
    with connect(url, ca_file) as client:
        if visibility != "inherit":
            client.put(address, {"visibility": visibility})
            return True
        try:
            client.delete(address)
        except NotFound:
            return False
        return True


def _set_directly(name: str, visibility: str, data: Path | None, config: Path | None) -> bool:
    from entrepot.actions.manage import namespaces
    from entrepot.app import App
    from entrepot.cli import direct
    from entrepot.namespaces.errors import NamespaceUnknown
    from entrepot.principal import Caller

    async def change(app: App, operator: Caller) -> bool:
        if visibility != "inherit":
            await namespaces.put(app, operator, name, lambda before: None, public=visibility == "public")
            return True
        try:
            await namespaces.inherit(app, operator, name, lambda before: None)
        except NamespaceUnknown:
            return False
        return True

    return direct.act(direct.load(data, config), change)
