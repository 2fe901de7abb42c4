"""`entrepot group …`."""

from typing import TYPE_CHECKING, Annotated

import typer

from entrepot.cli.options import JSON
from entrepot.cli.output import say, show_items, show_one
from entrepot.cli.remote import remote
from entrepot.cli.values import reference, split

if TYPE_CHECKING:
    from entrepot.cli.client import Client

app = typer.Typer(help="Manage groups, local ones and those of providers.", no_args_is_help=True)
GroupArgument = Annotated[
    str, typer.Argument(metavar="GROUP", help="A group as provider:name; without a provider, a local group.")
]
Member = Annotated[
    str, typer.Argument(metavar="USER", help="A user as provider:name; without a provider, a local user.")
]


@app.command("list")
@remote
def listing(
    client: "Client",
    provider: Annotated[str, typer.Option("--provider", help="Only groups of this provider.")] = "",
    json: JSON = False,
) -> None:
    """List groups."""
    show_items(client.pages("/groups", provider=provider), ("provider", "name", "description"), json=json)


@app.command()
@remote
def show(client: "Client", group: GroupArgument, json: JSON = False) -> None:
    """Show a group."""
    show_one(client.get(_path(group)), json=json)


@app.command()
@remote
def members(client: "Client", group: GroupArgument, json: JSON = False) -> None:
    """List the members of a group."""
    show_items(client.pages(f"{_path(group)}/members"), ("provider", "name"), json=json)


@app.command()
@remote
def add(
    client: "Client",
    group: GroupArgument,
    description: Annotated[str, typer.Option("--description", help="What the group is for.")] = "",
) -> None:
    """Add a group, or change its description."""
    answer = client.put(_path(group), {"description": description})
    say(f"{'added' if answer.status == 201 else 'changed'} {reference(group)}")


@app.command()
@remote
def remove(client: "Client", group: GroupArgument) -> None:
    """Remove a group, with its grants."""
    client.delete(_path(group))
    say(f"removed {reference(group)}")


@app.command("add-member")
@remote
def add_member(client: "Client", group: GroupArgument, user: Member) -> None:
    """Add a user to a local group."""
    client.put(_member(group, user))
    say(f"added {reference(user)} to {reference(group)}")


@app.command("remove-member")
@remote
def remove_member(client: "Client", group: GroupArgument, user: Member) -> None:
    """Remove a user from a local group."""
    client.delete(_member(group, user))
    say(f"removed {reference(user)} from {reference(group)}")


def _path(group: str) -> str:
    from entrepot.cli.client import path_of

    return path_of("groups", *split(group))


def _member(group: str, user: str) -> str:
    from entrepot.cli.client import path_of

    return _path(group) + path_of("members", *split(user))
