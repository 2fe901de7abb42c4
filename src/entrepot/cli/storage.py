"""`entrepot storage`: which registry a store belongs to."""

from typing import Annotated

import typer

from entrepot.audit import record
from entrepot.audit.actions import Action
from entrepot.audit.record import Act
from entrepot.cli import direct
from entrepot.cli.options import ConfigFile, Data
from entrepot.cli.output import confirm, say
from entrepot.database.database import Database
from entrepot.errors import Invalid
from entrepot.lifecycle import store_identity
from entrepot.lifecycle.store_identity import Identity
from entrepot.storage.open import open_store

app = typer.Typer(help="The store of blobs.", no_args_is_help=True)


@app.callback()
def root() -> None:
    """The store of blobs."""


@app.command()
def adopt(
    data: Data = None,
    config: ConfigFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Let this database have the storage, whosever it was, or after restoring an older database.

    What is stored and this database does not name becomes garbage: it is listed, moved aside and, days later, removed.
    """
    settings = direct.load(data, config)
    if not yes and not confirm("What this database does not name will be collected as garbage. Go on?"):
        raise Invalid("nothing was changed")

    async def run(database: Database) -> Identity:
        store = open_store(settings.storage, settings.data, lambda blob: None)
        try:
            identity = await store_identity.adopt(database, store)
        finally:
            await store.close()
        act = Act(Action.STORAGE_ADOPT, "registry", detail={"store": identity.id, "generation": identity.generation})
        await database.write(record.write, direct.composed_record(act))
        return identity

    identity = direct.work(settings, run)
    say(f"the storage {identity.id[:12]} and this database belong together now")
