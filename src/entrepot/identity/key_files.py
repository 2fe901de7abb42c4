"""Files with secrets of the registry: made once, whoever comes first, and for nobody else to read."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from entrepot.errors import Unavailable


class KeysUnreadable(Unavailable):
    code = "keys_unreadable"


def read_or_make(path: Path, make: Callable[[], bytes]) -> bytes:
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


def new_signing_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def parse_signing_key(pem: bytes) -> Ed25519PrivateKey | None:
    """None for a key of another kind. Raises ValueError."""
    key = serialization.load_pem_private_key(pem, password=None)
    return key if isinstance(key, Ed25519PrivateKey) else None
