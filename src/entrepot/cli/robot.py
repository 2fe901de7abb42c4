"""`entrepot robot …`."""

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

app = typer.Typer(help="Manage robots: accounts for programs, which sign in with tokens.", no_args_is_help=True)
trust = typer.Typer(help="Let workloads sign in as a robot with tokens of their own platform.", no_args_is_help=True)
app.add_typer(trust, name="trust")
RobotArgument = Annotated[
    str, typer.Argument(metavar="ROBOT", help="The robot; team/ci belongs to the namespace team.")
]
TokenArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The token's id, as `entrepot robot tokens` shows it.")
]
DockerConfig = Annotated[
    bool, typer.Option("--print-docker-config", help="Print only a config.json, for Docker and Kubernetes.")
]


@app.command("list")
@remote
def listing(
    client: "Client",
    below: Annotated[
        str, typer.Option("--below", metavar="PATH", help="Only robots of this namespace and below it.")
    ] = "",
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
    on: Annotated[
        str, typer.Option("--place", metavar="PLACE", help="Where the robot may work, such as namespace:team.")
    ],
    permission: Permissions = [],  # noqa: B006 (typer makes a new one)
    role: Annotated[
        str | None,
        typer.Option("--role", help="Its role there (default: the smallest role with the permissions, or reader)."),
    ] = None,
    expires: Expires = "90d",
    description: Annotated[str, typer.Option("--description", help="What the robot is for.")] = "",
    owner: Annotated[
        str | None, typer.Option("--owner", help="Who is responsible for the robot (default: you).")
    ] = None,
    print_docker_config: DockerConfig = False,
    json: JSON = False,
) -> None:
    """Create a robot with a role and a token, and print the token once. If a step fails, everything is undone."""
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
    """Disable a robot, so that it cannot sign in until it is enabled again."""
    _change(client, name, disabled=True)
    say(f"disabled {name}")


@app.command()
@remote
def enable(client: "Client", name: RobotArgument) -> None:
    """Enable a robot again."""
    _change(client, name, disabled=False)
    say(f"enabled {name}")


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
    on: Annotated[str, typer.Option("--place", metavar="PLACE", help="Where the permissions apply.")] = "registry",
    expires: Expires = "90d",
    print_docker_config: DockerConfig = False,
    json: JSON = False,
) -> None:
    """Create another token for a robot, and print it once."""
    wanted = {"name": label, "expires_in_seconds": seconds(expires), "limits": limit(permission, place(on))}
    made = client.post(f"{_path(name)}/tokens", wanted)
    _print(made, docker_config=print_docker_config, json=json)


@app.command()
@remote
def rotate(
    client: "Client",
    name: RobotArgument,
    token: Annotated[str | None, typer.Argument(metavar="[ID]", help="Which token, if the robot has several.")] = None,
    overlap: Overlap = "1h",
    print_docker_config: DockerConfig = False,
    json: JSON = False,
) -> None:
    """Replace a robot's token with a new one, and print it once."""
    path = f"{_path(name)}/tokens"
    if token is None:
        found = [entry["id"] for entry in client.pages(path)]
        if len(found) != 1:
            raise Invalid(f"{name} has {len(found)} tokens: name one that entrepot robot tokens {name} lists")
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
    """List the workloads that may sign in as the robot."""
    show_items(client.pages(f"{_path(name)}/trust-rules"), ("id", "provider", "audience", "claims"), json=json)


@trust.command("add")
@remote
def trust_add(
    client: "Client",
    name: RobotArgument,
    provider: Annotated[str, typer.Option("--provider", help="The provider of the tokens, as named in the settings.")],
    claim: Annotated[
        list[str],
        typer.Option("--claim", metavar="NAME=PATTERN", help="A claim that the token must have. Can be repeated."),
    ],
    audience: Annotated[str, typer.Option("--audience", help="The audience that the token must be issued for.")],
) -> None:
    """Let workloads sign in as the robot if their tokens have these claims."""
    claims = dict(pair(text, "claim") for text in claim)
    made = client.post(f"{_path(name)}/trust-rules", {"provider": provider, "audience": audience, "claims": claims})
    say(f"added trust rule {made['id']}: workloads of {provider} with {', '.join(claim)} sign in as {name}")


@trust.command("remove")
@remote
def trust_remove(
    client: "Client", name: RobotArgument, rule: Annotated[int, typer.Argument(help="The trust rule's id.")]
) -> None:
    """Remove a trust rule."""
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
    raise Conflict(f"the robot {name} exists already: create another token for it with entrepot robot token {name}")


def _change(client: "Client", name: str, **values: object) -> None:
    found = client.ask("GET", _path(name))
    client.put(_path(name), values, tag=found.tag)


def _least_role(client: "Client", permissions: list[str]) -> str:
    """The role with the fewest permissions that has all of these. Raises Invalid."""
    if not permissions:
        return "reader"
    fitting = [role for role in client.pages("/roles") if set(permissions) <= set(role["permissions"])]
    if not fitting:
        raise Invalid(
            f"no role has all of {', '.join(permissions)}: choose one with --role, or create one with entrepot role put"
        )
    return str(min(fitting, key=lambda role: (len(role["permissions"]), not role["built_in"]))["name"])
