"""`entrepot login`, `logout`, `use` and `whoami`."""

import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from entrepot.cli import credentials, remote
from entrepot.cli.credentials import Login
from entrepot.cli.direct import operator_name
from entrepot.cli.errors import NotSignedIn
from entrepot.cli.options import JSON
from entrepot.cli.output import ask, say, show, show_one, text_of, waiting
from entrepot.cli.remote import CaFile, Url
from entrepot.cli.secret_input import PasswordStdin, from_stdin, prompt
from entrepot.errors import EntrepotError, Invalid, Unauthenticated

if TYPE_CHECKING:
    from entrepot.cli.client import Client, Proof

TOKEN_DAYS = 90
SLOW_DOWN_SECONDS = 5
"""What `slow_down` adds to the interval between two requests (RFC 8628, section 3.5)."""


def login(
    url: Annotated[
        str | None, typer.Argument(metavar="[URL]", help="The registry (default: $ENTREPOT_URL, or the one used last).")
    ] = None,
    username: Annotated[
        str | None, typer.Option("--username", "-u", help="Your user name (default: asked for).")
    ] = None,
    password_stdin: PasswordStdin = False,
    token_stdin: Annotated[
        bool, typer.Option("--token-stdin", help="Read a token from standard input and store it.")
    ] = False,
    sso: Annotated[
        str | None, typer.Option("--sso", metavar="PROVIDER", help="Sign in with this provider, in a browser.")
    ] = None,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="Allow sending the password unencrypted to another machine.")
    ] = False,
    ca_file: CaFile = None,
) -> None:
    """Sign in to a registry. A token for this machine is created and stored; the password is not."""
    from entrepot.cli.client import Client, Proof, is_open, parse_url

    address = url or os.environ.get(remote.URL_VARIABLE) or credentials.read().current
    if not address:
        raise Invalid("name the registry: entrepot login https://registry.example")
    where = parse_url(address)
    if is_open(where) and not plain_http:
        raise Invalid(f"your password would be sent to {where} unencrypted: use https://, or --plain-http if you must")
    ca_file = ca_file.absolute() if ca_file is not None else None
    if sso is not None:
        proof = _by_device(where, sso, ca_file)
    elif token_stdin:
        proof = Proof(token=from_stdin("token"))
    else:
        name = username or (None if password_stdin else ask("User name"))
        if not name:
            raise Invalid("--password-stdin needs --username")
        proof = Proof(password=(name, from_stdin("password") if password_stdin else _ask_password(name)))
    with Client(where, proof, ca_file) as client:
        found = _login(client, proof, ca_file)
        if proof.session:
            client.form("/auth/logout", {})
    with credentials.changing() as logins:
        logins.registries[where] = found
        logins.current = where
    until = f" until {text_of(found.expires_at)}" if found.expires_at else ""
    say(f"signed in to {where} as {found.user}{until}")


def logout(
    url: Annotated[
        str | None, typer.Argument(metavar="[URL]", help="The registry (default: the one used last).")
    ] = None,
) -> None:
    """Sign out of a registry. The token that `entrepot login` created is revoked and removed."""
    from entrepot.cli.client import Client, Proof, parse_url, path_of

    where = parse_url(url) if url else credentials.read().current
    known = credentials.read().registries.get(where or "")
    if where is None or known is None:
        raise NotSignedIn(f"you are not signed in{f' to {where}' if where else ''}")
    revoked = "the token is revoked"
    if not known.token_id:
        revoked = "the token that you supplied stays valid"
    else:
        try:
            with Client(where, Proof(token=known.token), Path(known.ca_file) if known.ca_file else None) as client:
                client.delete(path_of("account", "tokens", known.token_id))
        except Unauthenticated:
            revoked = "the token was no longer valid"
        except EntrepotError as error:
            revoked = (
                f"the token could not be revoked and stays valid until {text_of(known.expires_at)}: {error.message}"
            )
    with credentials.changing() as logins:
        logins.registries.pop(where, None)
        if logins.current == where:
            logins.current = next(iter(logins.registries), None)
    say(f"signed out of {where}; {revoked}")


def use(
    url: Annotated[str | None, typer.Argument(metavar="[URL]", help="The registry to use from now on.")] = None,
    json: JSON = False,
) -> None:
    """List the registries you are signed in to, or choose the one that commands use."""
    from entrepot.cli.client import parse_url

    if url is None:
        logins = credentials.read()
        rows = [(where, known.user, where == logins.current) for where, known in logins.registries.items()]
        show(("registry", "user", "current"), rows, json=json)
        return
    where = parse_url(url)
    with credentials.changing() as logins:
        if where not in logins.registries:
            raise NotSignedIn(f"you are not signed in to {where}: run entrepot login {where}")
        logins.current = where
    say(f"commands now use {where}")


def whoami(url: Url = None, ca_file: CaFile = None, json: JSON = False) -> None:
    """Show which registry you are signed in to, as which user, and how."""
    with remote.connect(url, ca_file) as client:
        show_one({"registry": client.url, **client.get("/account")}, json=json)


def _login(client: "Client", proof: "Proof", ca_file: Path | None) -> Login:
    """The login to store: with a new token, or with the token that the user supplied."""
    authority = str(ca_file) if ca_file is not None else None
    account = client.get("/account")
    user = f"{account['provider']}:{account['name']}"
    if proof.token:
        return Login(user, proof.token, ca_file=authority)
    body = {
        "name": f"entrepot login on {socket.gethostname()} by {operator_name()}",
        "expires_in_seconds": TOKEN_DAYS * 24 * 3600,
    }
    made = client.post("/account/tokens", body)
    return Login(user, made["secret"], made["token"]["id"], made["token"]["expires_at"], authority)


def _ask_password(name: str) -> str:
    return prompt(f"Password of {name}", "--password-stdin or --token-stdin")


def _by_device(url: str, provider: str, ca_file: Path | None) -> "Proof":
    """Let the user sign in with a browser on any device (RFC 8628)."""
    from entrepot.cli.client import Client, Proof, path_of

    path = path_of("auth", provider, "device")
    with Client(url, Proof(), ca_file) as client:
        status, started = client.form(path, {})
        if status != 200:
            raise Unauthenticated(_reason(started))
        say(f"Open {started['verification_uri']} in a browser and enter the code {started['user_code']}")
        if complete := started.get("verification_uri_complete"):
            say(f"or open {complete}")
        pause = int(started.get("interval", SLOW_DOWN_SECONDS))
        with waiting("waiting for the browser"):
            while True:
                time.sleep(pause)
                status, answer = client.form(f"{path}/token", {"device_code": started["device_code"]})
                if status == 200:
                    return Proof(session=answer["session"])
                if answer.get("error") == "slow_down":
                    pause += SLOW_DOWN_SECONDS
                elif answer.get("error") != "authorization_pending":
                    raise Unauthenticated(_reason(answer))


def _reason(answer: dict[str, Any]) -> str:
    return str(
        answer.get("error_description")
        or answer.get("detail")
        or answer.get("error")
        or "the provider refused the login"
    )
