"""Signatures over statements: small JSON objects whose `type` tells what is stated, so that none passes for another."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from entrepot.audit.hashing import canonical
from entrepot.errors import Invalid

KEY_ID_CHARACTERS = 32


class KeyInvalid(Invalid):
    """What was given as the public key is none."""

    code = "key_invalid"


def key_id(key: Ed25519PublicKey) -> str:
    """Names a key: the beginning of the SHA-256 of its 32 bytes."""
    return sha256(key.public_bytes_raw()).hexdigest()[:KEY_ID_CHARACTERS]


def sign(key: Ed25519PrivateKey, statement: Mapping[str, Any]) -> dict[str, Any]:
    """The statement with `key_id` and `signature`, which is over the canonical JSON of everything else."""
    named = {**statement, "key_id": key_id(key.public_key())}
    return {**named, "signature": key.sign(canonical(named)).hex()}


def is_signed(key: Ed25519PublicKey, signed: Mapping[str, Any]) -> bool:
    """Whether this key signed it."""
    text = signed.get("signature")
    try:
        signature = bytes.fromhex(text) if isinstance(text, str) else b""
        key.verify(signature, canonical({name: value for name, value in signed.items() if name != "signature"}))
    except (InvalidSignature, ValueError):
        return False
    return signature.hex() == text


def public_pem(key: Ed25519PublicKey) -> str:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def load_public(pem: bytes) -> Ed25519PublicKey:
    """Raises KeyInvalid."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyInvalid("this is not the public key of an audit log: use the output of `entrepot audit public-key`")
    return key
