"""`entrepot token …`: the user's own tokens."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from entrepot.cli.options import JSON, Expires, Overlap, Permissions
from entrepot.cli.output import exact, say, show_items, show_json, text_of
from entrepot.cli.remote import remote
from entrepot.cli.values import limit, place, seconds

if TYPE_CHECKING:
    from entrepot.cli.client import Client

app = typer.Typer(help="Manage your own tokens.", no_args_is_help=True)
TokenArgument = Annotated[str, typer.Argument(metavar="ID", help="The token's id, as `entrepot token list` shows it.")]
COLUMNS = ("id", "kind", "name", "limits", "expires_at", "used_at", "used_address")


@app.command("list")
@remote
def listing(client: "Client", json: JSON = False) -> None:
    """List your tokens."""
    show_items(client.pages("/account/tokens"), COLUMNS, json=json)


@app.command()
@remote
def create(
    client: "Client",
    name: Annotated[str, typer.Argument(help="What the token is for.")],
    expires: Expires = "90d",
    permission: Permissions = [],  # noqa: B006 (typer makes a new one)
    on: Annotated[str, typer.Option("--on", metavar="PLACE", help="Where the permissions apply.")] = "registry",
    json: JSON = False,
) -> None:
    """Create a token and print it once. It expires no later than the token that you are signed in with."""
    body = {"name": name, "expires_in_seconds": seconds(expires), "limits": limit(permission, place(on))}
    print_secret(client.post("/account/tokens", body), json=json)


@app.command()
@remote
def revoke(client: "Client", token: TokenArgument) -> None:
    """Revoke a token. It stops working at once."""
    client.delete(_path(token))
    say(f"revoked {token}")


@app.command()
@remote
def rotate(client: "Client", token: TokenArgument, overlap: Overlap = "0s", json: JSON = False) -> None:
    """Replace a token with a new one of the same kind, and print it once."""
    print_secret(client.post(f"{_path(token)}/rotate", {"overlap_seconds": seconds(overlap) or 0}), json=json)


def print_secret(made: Mapping[str, Any], *, json: bool) -> None:
    """Print only the token to standard output, so that it can go into a file; the rest goes to standard error."""
    if json:
        show_json(made)
        return
    token = made["token"]
    until = f"valid until {text_of(token['expires_at'])}" if token["expires_at"] else "valid until it is revoked"
    say(f"token {token['id']} ({token['name']}) of {made['username']}, {until}, shown only once:")
    exact(made["secret"])


def _path(token: str) -> str:
    from entrepot.cli.client import path_of

    return path_of("account", "tokens", token)
