"""`entrepot robot …`: users for programs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from entrepot.cli.options import JSON, Expires, Overlap, Permissions
from entrepot.cli.output import say, show_items, show_json, show_one
from entrepot.cli.remote import remote
from entrepot.cli.token import COLUMNS as TOKEN_COLUMNS
from entrepot.cli.token import print_secret
from entrepot.cli.values import limit, pair, place, reference, seconds
from entrepot.errors import Conflict, EntrepotError, Invalid, NotFound

if TYPE_CHECKING:
    from entrepot.cli.client import Client

app = typer.Typer(help="Robots: users for programs, which sign in by tokens.", no_args_is_help=True)
trust = typer.Typer(help="Whose workloads may be a robot without any token.", no_args_is_help=True)
app.add_typer(trust, name="trust")
RobotArgument = Annotated[str, typer.Argument(metavar="ROBOT", help="As team/ci: a robot of the namespace team.")]
TokenArgument = Annotated[str, typer.Argument(metavar="ID", help="The token's id, as entrepot robot tokens shows it.")]
DockerConfig = Annotated[
    bool, typer.Option("--print-docker-config", help="Print only a config.json for Docker and Kubernetes.")
]


@app.command("list")
@remote
def listing(
    client: "Client",
    below: Annotated[str, typer.Option("--below", metavar="PATH", help="Of this namespace and below it.")] = "",
    json: JSON = False,
) -> None:
    """List robots."""
    items = client.pages("/robots", below=below.strip("/"))
    show_items(items, ("name", "description", "owner", "disabled"), json=json)


@app.command()
@remote
def show(client: "Client", name: RobotArgument, json: JSON = False) -> None:
    """Show a robot."""
    show_one(client.get(_path(name)), json=json)


@app.command()
@remote
def create(
    client: "Client",
    name: RobotArgument,
    on: Annotated[str, typer.Option("--place", metavar="PLACE", help="Where it may do something, as namespace:team.")],
    permission: Permissions = [],  # noqa: B006 (typer makes a new one)
    role: Annotated[
        str | None,
        typer.Option("--role", help="Its role there (default: the least that has the permissions; else reader)."),
    ] = None,
    expires: Expires = "90d",
    description: Annotated[str, typer.Option("--description", help="What it is for.")] = "",
    owner: Annotated[str | None, typer.Option("--owner", help="Who answers for it (default: you).")] = None,
    print_docker_config: DockerConfig = False,
    json: JSON = False,
) -> None:
    """Make a robot with a role and a token, and print the token once. What fails half-way is taken back."""
    where, path = place(on), _path(name)
    granted = role or _least_role(client, permission)
    body = {"description": description}
    if owner is not None:
        body["owner"] = reference(owner)
    _require_absent(client, name)
    client.put(path, body)
    try:
        client.post("/grants", {"role": granted, "subject": {"user": f"robot:{name}"}, "place": where})
        wanted = {"name": "first", "expires_in_seconds": seconds(expires), "limits": limit(permission, where)}
        made = client.post(f"{path}/tokens", wanted)
    except EntrepotError:
        client.delete(path)
        raise
    say(f"robot {name} is {granted} on {on}")
    _print(made, docker_config=print_docker_config, json=json)


@app.command()
@remote
def remove(client: "Client", name: RobotArgument) -> None:
    """Remove a robot, with its tokens and grants."""
    client.delete(_path(name))
    say(f"removed {name}")


@app.command()
@remote
def disable(client: "Client", name: RobotArgument) -> None:
    """Keep a robot out until it is enabled again."""
    _change(client, name, disabled=True)
    say(f"{name} is disabled")


@app.command()
@remote
def enable(client: "Client", name: RobotArgument) -> None:
    """Let a robot in again."""
    _change(client, name, disabled=False)
    say(f"{name} is enabled")


@app.command()
@remote
def tokens(client: "Client", name: RobotArgument, json: JSON = False) -> None:
    """List a robot's tokens."""
    show_items(client.pages(f"{_path(name)}/tokens"), TOKEN_COLUMNS, json=json)


@app.command()
@remote
def token(
    client: "Client",
    name: RobotArgument,
    label: Annotated[str, typer.Option("--name", help="What the token is for.")] = "another",
    permission: Permissions = [],  # noqa: B006 (typer makes a new one)
    on: Annotated[str, typer.Option("--place", metavar="PLACE", help="Where the permissions hold.")] = "registry",
    expires: Expires = "90d",
    print_docker_config: DockerConfig = False,
    json: JSON = False,
) -> None:
    """Make one more token for a robot, and print it once."""
    wanted = {"name": label, "expires_in_seconds": seconds(expires), "limits": limit(permission, place(on))}
    made = client.post(f"{_path(name)}/tokens", wanted)
    _print(made, docker_config=print_docker_config, json=json)


@app.command()
@remote
def rotate(
    client: "Client",
    name: RobotArgument,
    token: Annotated[str | None, typer.Argument(metavar="[ID]", help="Which token, if it has several.")] = None,
    overlap: Overlap = "1h",
    print_docker_config: DockerConfig = False,
    json: JSON = False,
) -> None:
    """Replace a robot's token by a new one, and print it once."""
    path = f"{_path(name)}/tokens"
    if token is None:
        found = [entry["id"] for entry in client.pages(path)]
        if len(found) != 1:
            raise Invalid(f"{name} has {len(found)} tokens: say which, as entrepot robot tokens {name} shows them")
        token = found[0]
    made = client.post(f"{_path(name, 'tokens', token)}/rotate", {"overlap_seconds": seconds(overlap) or 0})
    _print(made, docker_config=print_docker_config, json=json)


@app.command()
@remote
def revoke(client: "Client", name: RobotArgument, token: TokenArgument) -> None:
    """Revoke a token of a robot."""
    client.delete(_path(name, "tokens", token))
    say(f"revoked {token}")


@trust.command("list")
@remote
def trust_list(client: "Client", name: RobotArgument, json: JSON = False) -> None:
    """List who may be the robot."""
    show_items(client.pages(f"{_path(name)}/trust-rules"), ("id", "provider", "audience", "claims"), json=json)


@trust.command("add")
@remote
def trust_add(
    client: "Client",
    name: RobotArgument,
    provider: Annotated[str, typer.Option("--provider", help="Whose tokens are believed, as in the settings.")],
    claim: Annotated[
        list[str], typer.Option("--claim", metavar="NAME=PATTERN", help="What a token must say; several may be given.")
    ],
    audience: Annotated[str, typer.Option("--audience", help="What tokens must be made for.")],
) -> None:
    """Let workloads whose tokens say this be the robot."""
    claims = dict(pair(text, "claim") for text in claim)
    made = client.post(f"{_path(name)}/trust-rules", {"provider": provider, "audience": audience, "claims": claims})
    say(f"trust rule {made['id']}: {provider}'s workloads with {', '.join(claim)} are {name}")


@trust.command("remove")
@remote
def trust_remove(client: "Client", name: RobotArgument, rule: Annotated[int, typer.Argument(help="Its id.")]) -> None:
    """Let them be the robot no more."""
    client.delete(f"{_path(name)}/trust-rules/{rule}")
    say(f"removed trust rule {rule}")


def _print(made: Mapping[str, Any], *, docker_config: bool, json: bool) -> None:
    if docker_config:
        show_json(made["docker_config"])
    else:
        print_secret(made, json=json)


def _path(name: str, *parts: str) -> str:
    from entrepot.cli.client import path_of

    return path_of("robots", name, *parts)


def _require_absent(client: "Client", name: str) -> None:
    try:
        client.get(_path(name))
    except NotFound:
        return
    raise Conflict(f"there is a robot {name} already: entrepot robot token {name} makes another token for it")


def _change(client: "Client", name: str, **values: object) -> None:
    found = client.ask("GET", _path(name))
    client.put(_path(name), values, tag=found.tag)


def _least_role(client: "Client", permissions: list[str]) -> str:
    """The role with the fewest permissions that has all of these. Raises Invalid."""
    if not permissions:
        return "reader"
    fitting = [role for role in client.pages("/roles") if set(permissions) <= set(role["permissions"])]
    if not fitting:
        raise Invalid(f"no role has {', '.join(permissions)}: name one by --role, or make one by entrepot role put")
    return str(min(fitting, key=lambda role: (len(role["permissions"]), not role["built_in"]))["name"])
