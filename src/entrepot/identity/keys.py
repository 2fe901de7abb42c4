"""The registry's own secrets: keys that sign bearer tokens and the audit log, and one that seals what clients keep.

That is addresses of uploads, and logins by a provider that are under way.
"""

import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from entrepot.identity.key_files import KeysUnreadable, new_signing_key, parse_signing_key, read_or_make
from entrepot.identity.token_keys import TokenKeys

UPLOAD_KEY_BYTES = 32


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """Never prints."""

    token: TokenKeys
    upload: bytes
    audit: Ed25519PrivateKey


def load_or_make(directory: Path) -> Keys:
    """Read the keys from the directory, or make those that are not there. Raises KeysUnreadable.

    Any number of processes may start at once on an empty directory: they all end up with the same keys.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        upload = read_or_make(directory / "upload.key", lambda: secrets.token_bytes(UPLOAD_KEY_BYTES))
        audit = parse_signing_key(read_or_make(directory / "audit.pem", new_signing_key))
    except (OSError, ValueError) as error:
        raise KeysUnreadable(f"the keys in {directory} cannot be read or created: {error}") from error
    if audit is None or len(upload) != UPLOAD_KEY_BYTES:
        raise KeysUnreadable(
            f"the keys in {directory} are not those of a registry: move them away to have new ones created"
        )
    return Keys(TokenKeys(directory), upload, audit)
