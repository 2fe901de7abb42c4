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

app = typer.Typer(help="Manage the blob store.", no_args_is_help=True)


@app.callback()
def root() -> None:
    """Manage the blob store."""


@app.command()
def adopt(
    data: Data = None,
    config: ConfigFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Assign the storage to this database, when it belonged to another one or after restoring an older database.

    Blobs that this database does not know become garbage: they are listed, moved aside and, days later, removed.
    """
    settings = direct.load(data, config)
    if not yes and not confirm("Blobs that this database does not know will be collected as garbage. Continue?"):
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
    say(f"the storage {identity.id[:12]} now belongs to this database")
