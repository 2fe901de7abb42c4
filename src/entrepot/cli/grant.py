"""`entrepot grant …`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from entrepot.cli.options import JSON
from entrepot.cli.output import say, show_items
from entrepot.cli.remote import remote
from entrepot.cli.values import moment, place, reference
from entrepot.errors import Invalid

if TYPE_CHECKING:
    from entrepot.cli.client import Client

app = typer.Typer(help="Manage grants: who has which role, and where.", no_args_is_help=True)
UserOption = Annotated[
    str | None, typer.Option("--user", help="A user or robot, such as local:alice or robot:team/ci.")
]
GroupOption = Annotated[str | None, typer.Option("--group", help="A group, such as local:developers.")]
COLUMNS = ("id", "role", "who", "place", "condition", "expires_at")


@app.command("list")
@remote
def listing(
    client: "Client",
    below: Annotated[str, typer.Option("--below", metavar="PATH", help="Only in this namespace and below it.")] = "",
    user: UserOption = None,
    group: GroupOption = None,
    json: JSON = False,
) -> None:
    """List grants."""
    wanted = {"user": reference(user) if user else "", "group": reference(group) if group else ""}
    items = client.pages("/grants", below=below.strip("/"), **wanted)
    show_items((item if json else {**item, "who": who(item["subject"])} for item in items), COLUMNS, json=json)


@app.command()
@remote
def add(
    client: "Client",
    role: Annotated[str, typer.Argument(help="The role, such as developer.")],
    on: Annotated[
        str,
        typer.Option("--on", metavar="PLACE", help="registry, namespace:team, repository:team/app, pattern:team/*."),
    ],
    user: UserOption = None,
    group: GroupOption = None,
    signed_in: Annotated[bool, typer.Option("--signed-in", help="Everyone who is signed in.")] = False,
    everyone: Annotated[bool, typer.Option("--everyone", help="Everyone, signed in or not.")] = False,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="As 2027-01-01.")] = None,
    condition: Annotated[
        str | None, typer.Option("--if", metavar="CEL", help="A CEL condition that requests must meet.")
    ] = None,
    json: JSON = False,
) -> None:
    """Grant a role."""
    body = {
        "role": role,
        "subject": _subject(user, group, signed_in=signed_in, everyone=everyone),
        "place": place(on),
        "condition": condition,
        "expires_at": moment(until),
    }
    made = client.post("/grants", body)
    if json:
        from entrepot.cli.output import show_json

        show_json(made)
        return
    say(f"grant {made['id']}: {who(made['subject'])} is {made['role']} on {on}")


@app.command()
@remote
def remove(
    client: "Client", grant: Annotated[int, typer.Argument(help="The grant's id, as `entrepot grant list` shows it.")]
) -> None:
    """Remove a grant."""
    client.delete(f"/grants/{grant}")
    say(f"removed grant {grant}")


def who(subject: Mapping[str, Any]) -> str:
    """The subject as one word."""
    if "group" in subject:
        return f"group {subject['group']}"
    return str(subject.get("user") or subject.get("kind"))


def _subject(user: str | None, group: str | None, *, signed_in: bool, everyone: bool) -> dict[str, str]:
    given = [
        *([{"user": reference(user)}] if user else []),
        *([{"group": reference(group)}] if group else []),
        *([{"kind": "signed-in"}] if signed_in else []),
        *([{"kind": "everyone"}] if everyone else []),
    ]
    if len(given) != 1:
        raise Invalid("say who gets the role: give one of --user, --group, --signed-in and --everyone")
    return given[0]
