"""Whether a replica has the same keys as all others of its registry: the database keeps their fingerprint.

With other keys its bearer tokens, upload addresses and signatures would be no good to the others, now and then, as the
balancer happens to choose. The fingerprint is of the keys that are never changed: those that sign bearer tokens are.
"""

import hashlib

from cryptography.hazmat.primitives import serialization
from sqlalchemy import Connection

from entrepot.database import facts
from entrepot.errors import Conflict
from entrepot.identity.keys import Keys

_NAME = "keys.fingerprint"
ADOPT = "entrepot keys adopt"


class KeysForeign(Conflict):
    """The keys are not those that the database knows."""

    code = "keys_foreign"


def check(connection: Connection, keys: Keys) -> None:
    """Compare the two; the first replica's keys become known. Raises KeysForeign."""
    own = fingerprint(keys)
    known = facts.add(connection, _NAME, own)
    if known != own:
        raise KeysForeign(
            f"the keys of this data directory ({own[:12]}) are not those of the registry ({known[:12]}): copy the "
            "directory keys/ of another replica, or of the backup, to this one; or, if they are lost, run " + ADOPT
        )


def adopt(connection: Connection, keys: Keys) -> str:
    """Let these be the registry's keys; returns their fingerprint."""
    own = fingerprint(keys)
    facts.put(connection, _NAME, own)
    return own


def fingerprint(keys: Keys) -> str:
    """Tells the keys apart and nothing else of them: both parts have 256 random bits."""
    public = keys.audit.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(b"entrepot keys\n" + keys.upload + public).hexdigest()
