"""Which running registry a command talks to, and as which user."""

import inspect
import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec

import typer

from entrepot.cli import credentials
from entrepot.cli.credentials import Login
from entrepot.cli.errors import NotSignedIn
from entrepot.errors import Invalid

if TYPE_CHECKING:
    from entrepot.cli.client import Client

P = ParamSpec("P")
URL_VARIABLE, TOKEN_VARIABLE = "ENTREPOT_URL", "ENTREPOT_TOKEN"
Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="The registry (default: $ENTREPOT_URL, or where you last signed in)."),
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        metavar="FILE",
        envvar="ENTREPOT_CA_FILE",
        help="PEM file with the authority that signed the registry's certificate.",
    ),
]


def remote(function: "Callable[Concatenate[Client, P], None]") -> Callable[..., None]:
    """Decorate a command that takes a registry's client first; adds the options `--url` and `--ca-file`."""

    @wraps(function)
    def command(*args: Any, url: str | None = None, ca_file: Path | None = None, **kwargs: Any) -> None:
        with connect(url, ca_file) as client:
            function(client, *args, **kwargs)

    own = list(inspect.signature(function).parameters.values())[1:]
    options = [
        inspect.Parameter("url", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Url),
        inspect.Parameter("ca_file", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=CaFile),
    ]
    # typer reads both, and would follow the wrapped function's otherwise.
    command.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own, *options]}
    del command.__wrapped__
    return command


def connect(url: str | None = None, ca_file: Path | None = None) -> "Client":
    """A client of the registry that is named, or else of the one in the variables, or of the current login.

    Raises NotSignedIn, Invalid.
    """
    # Imported here because it takes 100 ms, and most commands of an operator do without.
    from entrepot.cli.client import Client, Proof

    found_url, login = find(url)
    if ca_file is None and login.ca_file is not None:
        ca_file = Path(login.ca_file)
    return Client(found_url, Proof(token=login.token), ca_file)


def find(url: str | None) -> tuple[str, Login]:
    """The registry's URL and the credentials. The variable's token is only sent to the registry that it is for."""
    from entrepot.cli.client import parse_url

    variable, token = os.environ.get(URL_VARIABLE, ""), os.environ.get(TOKEN_VARIABLE, "")
    wanted = parse_url(url or variable) if url or variable else None
    if token and wanted is None:
        raise Invalid(f"{TOKEN_VARIABLE} is set, but not its registry: name it with {URL_VARIABLE} or --url")
    if token and wanted is not None and (not variable or wanted == parse_url(variable)):
        return wanted, Login("", token)
    logins = credentials.read()
    chosen = wanted or logins.current
    if chosen is None:
        raise NotSignedIn(
            f"you are not signed in to a registry: run entrepot login URL, or set {URL_VARIABLE} and {TOKEN_VARIABLE}"
        )
    if chosen not in logins.registries:
        raise NotSignedIn(f"you are not signed in to {chosen}: run entrepot login {chosen}")
    return chosen, logins.registries[chosen]


def is_direct(url: str | None, data: Path | None, config: Path | None) -> bool:
    """Whether to work on the data directory, in commands that can do both: if it or a settings file is named.

    Otherwise it is for a registry, as all other commands are: what is signed in to, and what happens to be in the
    working directory, never decides. Raises Invalid when both are named.
    """
    if data is None and config is None:
        return False
    if url is not None:
        raise Invalid("--url names a running registry, --data and --config its data directory: give only one of them")
    return True
