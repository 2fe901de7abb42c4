"""Content digests (OCI image specification, descriptor.md, "Digests")."""

import hashlib
import re
from typing import Protocol, Self

from entrepot.oci.errors import DigestInvalid

_DIGEST = re.compile(r"(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})", re.ASCII)

ALGORITHMS = ("sha256", "sha512")
"""The registered algorithms that this registry computes itself."""


class Hasher(Protocol):
    """The part of a hashlib object that is used here."""

    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class Digest(str):
    """A digest that is well-formed and of a registered algorithm; its text is the canonical form."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises DigestInvalid for an unknown algorithm, a wrong length or upper-case hex."""
        if _DIGEST.fullmatch(text) is None:
            raise DigestInvalid(
                "the digest is not valid: use sha256: and 64, or sha512: and 128, lower-case hexadecimal characters",
                {"digest": text[:200]},
            )
        return cls(text)

    @classmethod
    def of(cls, content: bytes, algorithm: str = "sha256") -> Self:
        return cls(f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}")

    @property
    def algorithm(self) -> str:
        return self[:6]

    @property
    def hex(self) -> str:
        return self[7:]


def new_hasher(algorithm: str) -> Hasher:
    return hashlib.new(algorithm)


def parse_algorithm(text: str) -> str:
    """A digest algorithm by its registered name. Raises DigestInvalid."""
    if text not in ALGORITHMS:
        raise DigestInvalid(
            f"the digest algorithm is not supported: use one of {', '.join(ALGORITHMS)}", {"algorithm": text[:200]}
        )
    return text
