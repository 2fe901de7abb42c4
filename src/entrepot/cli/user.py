"""`entrepot user …`: users of all providers, through the API."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from entrepot.cli.options import JSON
from entrepot.cli.output import exact, say, show_items, show_one
from entrepot.cli.remote import remote
from entrepot.cli.secret_input import Generate, PasswordStdin, new_password
from entrepot.cli.token import COLUMNS as TOKEN_COLUMNS
from entrepot.cli.values import reference, split

if TYPE_CHECKING:
    from entrepot.cli.client import Client

app = typer.Typer(help="Manage users, local ones and those of providers.", no_args_is_help=True)
UserArgument = Annotated[
    str, typer.Argument(metavar="USER", help="A user as provider:name; without a provider, a local user.")
]
DisplayName = Annotated[str | None, typer.Option("--display-name", help="The name to show to people.")]
Email = Annotated[str | None, typer.Option("--email", help="The user's e-mail address.")]


@app.command("list")
@remote
def listing(
    client: "Client",
    provider: Annotated[str, typer.Option("--provider", help="Only users of this provider.")] = "",
    search: Annotated[str, typer.Option("--search", help="Only names that contain this text.")] = "",
    json: JSON = False,
) -> None:
    """List users."""
    items = client.pages("/users", provider=provider, search=search)
    show_items(items, ("provider", "name", "display_name", "administrator", "disabled"), json=json)


@app.command()
@remote
def show(client: "Client", name: UserArgument, json: JSON = False) -> None:
    """Show a user."""
    show_one(client.get(_path(name)), json=json)


@app.command()
@remote
def add(
    client: "Client",
    name: Annotated[str, typer.Argument(help="The new user's name.")],
    display_name: DisplayName = None,
    email: Email = None,
    administrator: Annotated[bool, typer.Option("--administrator", help="Make the user an administrator.")] = False,
    password_stdin: PasswordStdin = False,
    generate: Generate = False,
) -> None:
    """Add a local user. The password is asked for."""
    from entrepot.cli.client import path_of
    from entrepot.errors import Conflict, NotFound

    path = path_of("users", "local", name)
    try:
        client.get(path)
    except NotFound:
        pass
    else:
        raise Conflict(f"the user {name} exists already")
    password, generated = new_password(stdin=password_stdin, generate=generate)
    body = {"display_name": display_name or "", "email": email or "", "administrator": administrator}
    client.put(path, {**body, "password": password})
    say(f"added local:{name}")
    if generated:
        exact(password)


@app.command()
@remote
def change(
    client: "Client",
    name: UserArgument,
    display_name: DisplayName = None,
    email: Email = None,
    administrator: Annotated[
        bool | None,
        typer.Option("--administrator/--no-administrator", help="Make the user an administrator, or no longer."),
    ] = None,
) -> None:
    """Change a user's details."""
    wanted = {"display_name": display_name, "email": email, "administrator": administrator}
    _change(client, name, **{key: value for key, value in wanted.items() if value is not None})
    say(f"changed {reference(name)}")


@app.command()
@remote
def disable(client: "Client", name: UserArgument) -> None:
    """Disable a user. Passwords, tokens and sessions stop working until the user is enabled again."""
    _change(client, name, disabled=True)
    say(f"disabled {reference(name)}")


@app.command()
@remote
def enable(client: "Client", name: UserArgument) -> None:
    """Enable a user again."""
    _change(client, name, disabled=False)
    say(f"enabled {reference(name)}")


@app.command()
@remote
def remove(client: "Client", name: UserArgument) -> None:
    """Remove a user and the user's tokens and grants. The images that the user pushed stay."""
    client.delete(_path(name))
    say(f"removed {reference(name)}")


@app.command()
@remote
def link(
    client: "Client",
    name: UserArgument,
    to: Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account to sign in to.")],
) -> None:
    """Link a user to another account. Whoever signs in as USER is then signed in as ACCOUNT."""
    _change(client, name, linked_to=reference(to))
    say(f"linked {reference(name)}, which now signs in as {reference(to)}")


@app.command()
@remote
def unlink(client: "Client", name: UserArgument) -> None:
    """Make a linked user a separate account again."""
    _change(client, name, linked_to=None)
    say(f"unlinked {reference(name)}, which is a separate account again")


@app.command("reset-password")
@remote
def reset_password(
    client: "Client",
    name: Annotated[str, typer.Argument(metavar="USER", help="A local user.")],
    password_stdin: PasswordStdin = False,
    generate: Generate = False,
) -> None:
    """Set a local user's password. If nobody can sign in, use `entrepot admin reset-password`."""
    path = _path(name)
    found = client.ask("GET", path)
    password, generated = new_password(stdin=password_stdin, generate=generate)
    client.put(path, {"password": password}, tag=found.tag)
    say(f"changed the password of {reference(name)}")
    if generated:
        exact(password)


@app.command("import-htpasswd")
@remote
def import_htpasswd(
    client: "Client",
    file: Annotated[Path, typer.Argument(help="An htpasswd file with bcrypt hashes (htpasswd -B).", dir_okay=False)],
    replace: Annotated[
        bool, typer.Option("--replace", help="Also set the passwords of users that exist already.")
    ] = False,
    json: JSON = False,
) -> None:
    """Add the users of an htpasswd file. They keep their passwords."""
    from entrepot.cli.output import show

    done = client.post("/users/import-htpasswd", {"text": file.read_text(encoding="utf-8"), "replace": replace})
    rows = [(done_to, name, "") for done_to in ("created", "replaced", "kept") for name in done[done_to]]
    rows += [("refused", entry["name"] or f"line {entry['line']}", entry["reason"]) for entry in done["refused"]]
    show(("what", "user", "why"), rows, json=json)
    if done["refused"]:
        raise typer.Exit(1)


@app.command()
@remote
def tokens(client: "Client", name: UserArgument, json: JSON = False) -> None:
    """List a user's tokens."""
    show_items(client.pages(f"{_path(name)}/tokens"), TOKEN_COLUMNS, json=json)


@app.command("revoke-token")
@remote
def revoke_token(
    client: "Client", name: UserArgument, token: Annotated[str, typer.Argument(help="The token's id.")]
) -> None:
    """Revoke a token of a user."""
    client.delete(_path(name, "tokens", token))
    say(f"revoked {token}")


def _path(name: str, *parts: str) -> str:
    from entrepot.cli.client import path_of

    return path_of("users", *split(name), *parts)


def _change(client: "Client", name: str, **values: Any) -> None:
    client.patch(_path(name), values)
