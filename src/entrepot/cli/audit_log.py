"""`entrepot audit list`, and the export through the API."""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entrepot.cli.options import JSON
from entrepot.cli.output import data_to, show, show_json, waiting
from entrepot.cli.remote import remote
from entrepot.cli.values import moment

if TYPE_CHECKING:
    from entrepot.cli.client import Client

From = Annotated[
    str | None,
    typer.Option("--from", metavar="TIME", help="Only records from this time on, such as 2026-11-25T10:00Z."),
]
To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Only records before this time.")]
Actor = Annotated[str, typer.Option("--actor", help="Only what this user did, such as local:alice.")]
ActionOption = Annotated[str, typer.Option("--action", help="Only this action, such as manifest:push.")]
Resource = Annotated[str, typer.Option("--resource", help="Only this resource, such as repository:team/app.")]
Below = Annotated[str, typer.Option("--below", help="Only repositories and namespaces below this namespace.")]
OfDigest = Annotated[str, typer.Option("--digest", help="Only records with this digest.")]
Address = Annotated[str, typer.Option("--address", help="Only requests from this address.")]
Outcome = Annotated[str, typer.Option("--outcome", help="Only this outcome: done, refused or failed.")]


@remote
def listing(
    client: "Client",
    from_: From = None,
    to: To = None,
    actor: Actor = "",
    action: ActionOption = "",
    resource: Resource = "",
    below: Below = "",
    digest: OfDigest = "",
    address: Address = "",
    outcome: Outcome = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="The most records to show.")] = 100,
    json: JSON = False,
) -> None:
    """List records of the audit log, newest first."""
    query = {
        "from": moment(from_),
        "to": moment(to),
        "actor": actor,
        "action": action,
        "resource": resource,
        "below": below.strip("/"),
        "digest": digest,
        "address": address,
        "outcome": outcome,
    }
    found = []
    for entry in client.pages("/audit", **query):
        found.append(entry)
        if len(found) == limit:
            break
    if json:
        show_json(found)
        return
    columns = ("time", "actor", "address", "action", "resource", "outcome", "reason")
    show(columns, ([entry["record"].get(name) for name in columns] for entry in found), json=False)


def export_from(client: "Client", query: Mapping[str, object], output: Path | None) -> None:
    """Write the registry's export to a file or to standard output."""
    pieces = client.download("/audit/export", **query)
    with waiting("exporting") if output is not None else nullcontext(), data_to(output) as put:
        for piece in pieces:
            put(piece)
