"""`entrepot keys …`: works on the data directory."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from entrepot import settings as settings_module
from entrepot.cli.options import JSON, ConfigFile, Data
from entrepot.cli.output import confirm, say, show

app = typer.Typer(help="Manage the registry's own keys. Works on the data directory.", no_args_is_help=True)


@app.command()
def rotate(
    revoke: Annotated[
        bool, typer.Option("--revoke", help="Remove all older keys now. Clients then have to get new bearer tokens.")
    ] = False,
    data: Data = None,
    config: ConfigFile = None,
) -> None:
    """Sign bearer tokens with a new key. The registry may be running; it picks up the key within a second.

    Tokens signed by older keys stay valid until they expire. Keys whose tokens have all expired are removed.
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
    say(f"bearer tokens are now signed by {made.kid}")
    for key in removed:
        say(f"removed {key.kid}")


@app.command()
def adopt(
    data: Data = None,
    config: ConfigFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Make this data directory's keys the registry's, after the old ones were lost. Copy them to all replicas.

    Existing bearer tokens and unfinished uploads become invalid, and the audit log is signed by a new key from now on.
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
    if not yes and not confirm(f"Replicas whose keys are not {own} will no longer start. Continue?"):
        raise Invalid("nothing was changed")
    direct.change(settings, Act(Action.KEYS_ADOPT, "registry", detail={"keys": own}), key_identity.adopt, keys)
    say(f"the registry's keys are now {own}")


@app.command("list")
def listing(data: Data = None, config: ConfigFile = None, json: JSON = False) -> None:
    """List the keys that verify bearer tokens. The last one signs new tokens."""
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
