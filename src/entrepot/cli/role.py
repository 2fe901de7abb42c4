"""`entrepot role …`."""

from typing import TYPE_CHECKING, Annotated

import typer

from entrepot.cli.options import JSON
from entrepot.cli.output import say, show_items, show_one
from entrepot.cli.remote import remote

if TYPE_CHECKING:
    from entrepot.cli.client import Client

app = typer.Typer(help="Manage roles: named sets of permissions.", no_args_is_help=True)
RoleArgument = Annotated[str, typer.Argument(metavar="ROLE", help="The role.")]


@app.command("list")
@remote
def listing(client: "Client", json: JSON = False) -> None:
    """List roles."""
    show_items(client.pages("/roles"), ("name", "description", "built_in"), json=json)


@app.command()
@remote
def show(client: "Client", name: RoleArgument, json: JSON = False) -> None:
    """Show a role."""
    show_one(client.get(_path(name)), json=json)


@app.command()
@remote
def put(
    client: "Client",
    name: RoleArgument,
    permission: Annotated[
        list[str],
        typer.Option(
            "--permission",
            help="Such as repository:pull; `entrepot role show administrator` lists all. Can be repeated.",
        ),
    ],
    description: Annotated[str, typer.Option("--description", help="Who the role is for.")] = "",
) -> None:
    """Create or change a role. Everyone who has the role then has these permissions."""
    client.put(_path(name), {"description": description, "permissions": permission})
    say(f"the role {name} now has {len(permission)} permissions")


@app.command()
@remote
def remove(client: "Client", name: RoleArgument) -> None:
    """Remove a role that nobody has."""
    client.delete(_path(name))
    say(f"removed {name}")


def _path(name: str) -> str:
    from entrepot.cli.client import path_of

    return path_of("roles", name)
