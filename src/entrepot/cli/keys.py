"""`entrepot keys …`: on the data directory."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from entrepot import settings as settings_module
from entrepot.cli.options import JSON, ConfigFile, Data
from entrepot.cli.output import confirm, say, show

app = typer.Typer(help="The registry's own keys: on the data directory.", no_args_is_help=True)


@app.command()
def rotate(
    revoke: Annotated[
        bool, typer.Option("--revoke", help="Remove all older keys now: who has a bearer token gets another one.")
    ] = False,
    data: Data = None,
    config: ConfigFile = None,
) -> None:
    """Have bearer tokens signed by a new key. The registry may be running: it notices within a second.

    Tokens that were signed before stay good until they expire; keys whose tokens have all expired are removed.
    """
    from entrepot.audit.actions import Action
    from entrepot.audit.record import Act
    from entrepot.cli import direct
    from entrepot.clock import system_clock
    from entrepot.identity import token_keys

    settings = direct.load(data, config)
    directory = settings.keys_directory
    direct.keys_of(settings)
    act = Act(Action.KEYS_ROTATE, "registry", detail={"revoke": revoke})
    made, removed = direct.change(
        settings, act, lambda _: token_keys.rotate(directory, system_clock() // 1000, revoke=revoke)
    )
    say(f"bearer tokens are signed by {made.kid} now")
    for key in removed:
        say(f"removed {key.kid}")


@app.command()
def adopt(
    data: Data = None,
    config: ConfigFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Let the keys of this data directory be the registry's, when those it had are lost. Copy them to all replicas.

    Bearer tokens and uploads under way end, and the audit log is signed by another key from now on.
    """
    from entrepot.audit.actions import Action
    from entrepot.audit.record import Act
    from entrepot.cli import direct
    from entrepot.errors import Invalid
    from entrepot.identity.keys import load_or_make
    from entrepot.lifecycle import key_identity

    settings = direct.load(data, config)
    keys = load_or_make(settings.keys_directory)
    own = key_identity.fingerprint(keys)[:12]
    if not yes and not confirm(f"Replicas with other keys than {own} will not start. Go on?"):
        raise Invalid("nothing was changed")
    direct.change(settings, Act(Action.KEYS_ADOPT, "registry", detail={"keys": own}), key_identity.adopt, keys)
    say(f"the registry's keys are {own} now")


@app.command("list")
def listing(data: Data = None, config: ConfigFile = None, json: JSON = False) -> None:
    """Show the keys that bearer tokens are verified by, the one that signs last."""
    from entrepot.cli import direct
    from entrepot.clock import system_clock
    from entrepot.identity import token_keys

    settings = settings_module.load(config, overrides={"data": data})
    direct.keys_of(settings)
    rows = []
    for key in token_keys.load(settings.keys_directory):
        since = datetime.fromtimestamp(key.since, UTC).isoformat() if key.since else None
        state = "signs" if key.retired_at is None else "over" if key.is_over(system_clock() // 1000) else "verifies"
        rows.append((key.kid, state, since, key.name))
    show(("key", "state", "since", "file"), rows, json=json)
