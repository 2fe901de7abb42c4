"""The registry's own secrets: keys that sign bearer tokens and the audit log, and one that seals upload addresses."""

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from entrepot.errors import Unavailable

UPLOAD_KEY_BYTES = 32


class KeysUnreadable(Unavailable):
    pass


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """Never prints."""

    token: Ed25519PrivateKey
    upload: bytes
    audit: Ed25519PrivateKey


def load_or_make(directory: Path) -> Keys:
    """Read the keys from the directory, or make those that are not there. Raises KeysUnreadable.

    Any number of processes may start at once on an empty directory: they all end up with the same keys.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        token = _signing_key(directory / "token.pem")
        upload = _read_or_make(directory / "upload.key", lambda: secrets.token_bytes(UPLOAD_KEY_BYTES))
        audit = _signing_key(directory / "audit.pem")
    except (OSError, ValueError) as error:
        raise KeysUnreadable(f"the keys in {directory} cannot be read or made: {error}") from error
    if token is None or audit is None or len(upload) != UPLOAD_KEY_BYTES:
        raise KeysUnreadable(
            f"the keys in {directory} are not those of a registry: move them away to have new ones made"
        )
    return Keys(token, upload, audit)


def _signing_key(path: Path) -> Ed25519PrivateKey | None:
    """None for a key of another kind."""
    key = serialization.load_pem_private_key(_read_or_make(path, _new_signing_key), password=None)
    return key if isinstance(key, Ed25519PrivateKey) else None


def _new_signing_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _read_or_make(path: Path, make: Callable[[], bytes]) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        pass
    # Written under another name and linked, so that nobody ever reads half a key, and the first one wins.
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    file = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, make())
        os.fsync(file)
    finally:
        os.close(file)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_bytes()
