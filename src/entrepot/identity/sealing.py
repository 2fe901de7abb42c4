"""What a client keeps for the registry and brings back: encrypted, and good for the one purpose it was sealed for."""

import base64
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SALT_BYTES = 32
_KEY_BYTES = 32
_NONCE = bytes(12)
"""Always the same: each sealing has a key of its own, by its salt."""


def seal(key: bytes, purpose: str, content: bytes) -> str:
    """The content as text for a header or an address. `purpose` is whatever has to be the same when it comes back."""
    salt = secrets.token_bytes(SALT_BYTES)
    sealed = salt + _cipher(key, purpose, salt).encrypt(_NONCE, content, None)
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def unseal(key: bytes, purpose: str, text: str) -> bytes | None:
    """What was sealed by this key for this purpose; None for anything else."""
    try:
        sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        salt = sealed[:SALT_BYTES]
        return _cipher(key, purpose, salt).decrypt(_NONCE, sealed[SALT_BYTES:], None)
    except (ValueError, InvalidTag):
        return None


def _cipher(key: bytes, purpose: str, salt: bytes) -> AESGCM:
    # HKDF takes the key as its input and as no key of an HMAC: whatever else is signed by it, nothing is like this.
    info = b"entrepot sealing\n" + purpose.encode("utf-8", "surrogatepass")
    return AESGCM(HKDF(SHA256(), _KEY_BYTES, salt, info).derive(key))
