"""`entrepot access …`."""

from typing import TYPE_CHECKING, Annotated

import typer

from entrepot.cli.errors import STATUSES
from entrepot.cli.options import JSON
from entrepot.cli.output import line, show, show_json
from entrepot.cli.remote import remote
from entrepot.cli.values import reference
from entrepot.errors import Denied

if TYPE_CHECKING:
    from entrepot.cli.client import Client

app = typer.Typer(help="Find out who may do what, and why.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Find out who may do what, and why."""


@app.command()
@remote
def explain(
    client: "Client",
    user: Annotated[str, typer.Argument(help="For example local:alice, robot:team/ci, anonymous or me.")],
    action: Annotated[str, typer.Argument(help="pull, push, delete, or a permission such as grant:write.")],
    resource: Annotated[str, typer.Argument(help="repository:team/app, namespace:team, or registry.")] = "",
    token: Annotated[
        str, typer.Option("--token", metavar="ID", help="Apply the limits of this token, which belongs to the user.")
    ] = "",
    address: Annotated[str, typer.Option("--address", help="Assume that the request comes from this address.")] = "",
    json: JSON = False,
) -> None:
    """Say whether a user may do something, and why. The exit status is 4 if not."""
    asked = {"me": "", "anonymous": "anonymous"}.get(user)
    who = reference(user) if asked is None else asked
    found = client.get("/access/explain", user=who, action=action, resource=resource, token=token, address=address)
    if json:
        show_json(found)
    else:
        verdict = "may" if found["allowed"] else "may not"
        line(f"{found['user']} {verdict} {found['action']} on {found['resource']}")
        for sentence in [*found["because"], *found["advice"]]:
            line(f"  {sentence}")
        if found["grants"]:
            rows = [(g["id"], g["role"], g["place"], g["through"], g["applies"], g["missing"]) for g in found["grants"]]
            show(("grant", "role", "place", "through", "applies", "missing"), rows, json=False)
    if not found["allowed"]:
        raise typer.Exit(STATUSES[Denied])
