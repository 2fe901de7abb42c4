"""The public keys of an issuer (JWKS, RFC 7517), and which of them may verify a token. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK, PyJWTError

from entrepot.errors import Invalid

ALGORITHMS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "RS256": ("RSA", ()),
    "RS384": ("RSA", ()),
    "RS512": ("RSA", ()),
    "PS256": ("RSA", ()),
    "PS384": ("RSA", ()),
    "PS512": ("RSA", ()),
    "ES256": ("EC", ("P-256",)),
    "ES384": ("EC", ("P-384",)),
    "ES512": ("EC", ("P-521",)),
    "EdDSA": ("OKP", ("Ed25519", "Ed448")),
}
"""Algorithm to the type of key and the curves it is used with. Asymmetric only: an issuer's key is public."""
KEYS_MAX = 100
RSA_BITS_MIN = 2048


class KeySetInvalid(Invalid):
    code = "key_set_invalid"


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys as their issuer published them, without those that are not for verifying signatures."""

    keys: tuple[Mapping[str, Any], ...]

    def find(self, key_id: str | None, algorithm: str) -> PyJWK | None:
        """The key that a token with this head has to be verified with.

        None when there is no such key, and also when there are several: a token does not get to try keys.
        """
        fitting = [key for key in self.keys if (key_id is None or key.get("kid") == key_id) and _fits(key, algorithm)]
        if len(fitting) != 1:
            return None
        return _usable(fitting[0], algorithm)


def parse(text: str | bytes) -> KeySet:
    """Raises KeySetInvalid for what is not a JWKS; keys that cannot be used are left out."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise KeySetInvalid("the key set is not JSON") from None
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise KeySetInvalid("the key set has no list of keys")
    return KeySet(tuple(key for key in keys[:KEYS_MAX] if isinstance(key, dict) and _verifies(key)))


def _verifies(key: Mapping[str, Any]) -> bool:
    """Whether it is a public key for signatures. One with its private part is no secret of the issuer any more."""
    operations = key.get("key_ops")
    return (
        key.get("use", "sig") == "sig"
        and (operations is None or (isinstance(operations, list) and "verify" in operations))
        and "d" not in key
    )


def _fits(key: Mapping[str, Any], algorithm: str) -> bool:
    kind, curves = ALGORITHMS.get(algorithm, ("", ()))
    return (
        key.get("kty") == kind and key.get("alg", algorithm) == algorithm and (not curves or key.get("crv") in curves)
    )


def _usable(key: Mapping[str, Any], algorithm: str) -> PyJWK | None:
    try:
        built = PyJWK(dict(key), algorithm)
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None
    if isinstance(built.key, RSAPublicKey) and built.key.key_size < RSA_BITS_MIN:
        return None
    return built
