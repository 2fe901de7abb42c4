"""`entrepot repository …`."""

from typing import TYPE_CHECKING, Annotated

import typer

from entrepot.cli.options import JSON
from entrepot.cli.output import show_items, show_lines, show_one
from entrepot.cli.remote import remote

if TYPE_CHECKING:
    from entrepot.cli.client import Client

app = typer.Typer(help="List repositories and their tags.", no_args_is_help=True)
RepositoryArgument = Annotated[str, typer.Argument(metavar="REPOSITORY", help="The repository, such as team/app.")]


@app.command("list")
@remote
def listing(
    client: "Client",
    below: Annotated[str, typer.Option("--below", metavar="PATH", help="Only in this namespace and below it.")] = "",
    search: Annotated[str, typer.Option("--search", help="Only names that contain this text.")] = "",
    json: JSON = False,
) -> None:
    """List the repositories you may pull from."""
    items = client.pages("/repositories", below=below.strip("/"), search=search)
    show_items(items, ("name", "visibility", "created_at"), json=json)


@app.command()
@remote
def show(client: "Client", name: RepositoryArgument, json: JSON = False) -> None:
    """Show a repository."""
    show_one(client.get(_path(name)), json=json)


@app.command()
@remote
def tags(
    client: "Client",
    name: RepositoryArgument,
    names: Annotated[bool, typer.Option("--names", help="Print only the names, one per line.")] = False,
    json: JSON = False,
) -> None:
    """List the tags of a repository."""
    if names:
        show_lines(client.tag_names(name), json=json)
        return
    items = client.pages(f"{_path(name)}/tags")
    show_items(items, ("name", "digest", "size", "pushed_by", "updated_by", "updated_at"), json=json)


def _path(name: str) -> str:
    from entrepot.cli.client import path_of

    return path_of("repositories", name)
