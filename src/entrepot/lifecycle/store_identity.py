"""Which registry a store belongs to: a random id and a generation, kept in the store and in the database.

A database that is another registry's, new, or older than the store names few of the stored bytes: what it calls garbage
may be all that another database still needs. So the two are compared before the registry starts, and before anything
is collected. The generation is raised now and then, first in the database and then in the store: where the
database's is the lower one, it was restored from a backup.
"""

import json
import logging
import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, select

from entrepot.content.tables import blobs
from entrepot.database import facts
from entrepot.database.database import Database
from entrepot.errors import Conflict
from entrepot.storage import layout
from entrepot.storage.store import BlobStore

_ID, _GENERATION = "store.id", "store.generation"
ADOPT = "entrepot storage adopt"
_LOCATED = select(blobs.c.id).where(blobs.c.location.is_not(None)).limit(1)
log = logging.getLogger(__name__)


class StoreForeign(Conflict):
    """The store and the database do not belong together."""

    code = "store_foreign"


class DatabaseOlder(Conflict):
    """The database was restored from a backup that is older than what the store has."""

    code = "database_older"


@dataclass(frozen=True, slots=True)
class Identity:
    id: str
    generation: int


async def check(database: Database, store: BlobStore) -> Identity:
    """Compare the two, and mark them as belonging together when both are new.

    Raises StoreForeign, StorageUnavailable, DatabaseUnavailable.
    """
    known, stored = await database.read(_known), await _stored(store)
    if known is None and stored is not None:
        raise StoreForeign(
            "the storage belongs to another database than this one, which is new or another registry's. "
            f"Correct database.url or storage.url; or, to assign the storage to this database, run {ADOPT}"
        )
    if known is not None and stored is not None:
        if known.id != stored.id:
            raise StoreForeign(
                f"the storage belongs to registry {stored.id[:12]}, the database to {known.id[:12]}: correct "
                f"database.url or storage.url; or, to assign the storage to this database, run {ADOPT}"
            )
        return known
    if await database.read(_names_objects):
        raise StoreForeign(
            "the database refers to stored bytes, but the storage is empty or was never this registry's: correct "
            f"storage.url or restore the storage; or, to continue with what is there, run {ADOPT}"
        )
    if known is None and await _has_objects(store):
        raise StoreForeign(
            "the storage contains bytes that this new database does not know: correct database.url or storage.url; "
            f"or, to assign the storage to this database, run {ADOPT}"
        )
    return await adopt(database, store)


async def require_current(database: Database, store: BlobStore) -> None:
    """As `check`, before something is taken away. Raises DatabaseOlder, too."""
    known, stored = await check(database, store), await _stored(store)
    if stored is not None and stored.generation > known.generation:
        raise DatabaseOlder(
            "the database is older than the storage: it was restored from a backup and does not know what was pushed "
            f"after that. Nothing is collected until you accept this with {ADOPT}"
        )


async def advance(database: Database, store: BlobStore) -> None:
    """Raise the generation, unless the two do not belong together. Raises what `require_current` does."""
    await require_current(database, store)
    await _put(store, await database.write(_advance))


async def adopt(database: Database, store: BlobStore) -> Identity:
    """Let the database have the store, whosever it was. Raises StorageUnavailable."""
    stored = await _stored(store)
    identity = await database.write(_adopt, stored)
    await _put(store, identity)
    return identity


def _known(connection: Connection) -> Identity | None:
    known = facts.get(connection, _ID)
    return None if known is None else Identity(known, int(facts.get(connection, _GENERATION) or 0))


def _names_objects(connection: Connection) -> bool:
    return connection.execute(_LOCATED).first() is not None


def _advance(connection: Connection) -> Identity:
    known = _known(connection)
    if known is None:
        raise StoreForeign("the database has no store yet")
    facts.put(connection, _GENERATION, str(known.generation + 1))
    return Identity(known.id, known.generation + 1)


def _adopt(connection: Connection, stored: Identity | None) -> Identity:
    """The store's id where it has one; of several replicas that start at once, all take the same new one."""
    if stored is None:
        facts.add(connection, _ID, secrets.token_hex(16))
    else:
        facts.put(connection, _ID, stored.id)
    known = _known(connection)
    generation = max(known.generation if known is not None else 0, stored.generation if stored is not None else 0) + 1
    facts.put(connection, _GENERATION, str(generation))
    return Identity(facts.get(connection, _ID) or "", generation)


async def _stored(store: BlobStore) -> Identity | None:
    content = await store.get(layout.IDENTITY)
    if content is None:
        return None
    try:
        document = json.loads(content)
        return Identity(str(document["id"]), int(document["generation"]))
    except (ValueError, KeyError, TypeError):
        raise StoreForeign(f"cannot read {layout.IDENTITY} in the storage: restore it, or run {ADOPT}") from None


async def _put(store: BlobStore, identity: Identity) -> None:
    document = {"registry": "entrepot", "id": identity.id, "generation": identity.generation}
    await store.put(layout.IDENTITY, json.dumps(document).encode())


async def _has_objects(store: BlobStore) -> bool:
    async for _ in store.objects():
        return True
    return False
