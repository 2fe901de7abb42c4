"""Repository names and tags (OCI distribution specification, "Pulling manifests")."""

import re
from typing import Self

from entrepot.oci.digest import Digest
from entrepot.oci.errors import NameInvalid, TagInvalid

NAME_CHARACTERS_MAX = 255
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", re.ASCII)
_REFERRERS_TAG = re.compile(r"(?:sha256|sha512)-[0-9a-f]{64}", re.ASCII)


def is_repository_name(text: str) -> bool:
    return len(text) <= NAME_CHARACTERS_MAX and _NAME.fullmatch(text) is not None


class RepositoryName(str):
    """A repository's full name: one or more components joined by slashes."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises NameInvalid."""
        if not is_repository_name(text):
            raise NameInvalid(
                "the repository name is not valid: use lower-case letters and digits, separated by '.', '_', '__' or "
                f"'-', in components joined by '/', {NAME_CHARACTERS_MAX} characters at most",
                {"name": text[:NAME_CHARACTERS_MAX]},
            )
        return cls(text)

    def ancestors(self) -> tuple[str, ...]:
        """The name itself and every namespace above it, nearest first; the registry's root is the empty string."""
        parts = self.split("/")
        return tuple("/".join(parts[:length]) for length in range(len(parts), -1, -1))


class Tag(str):
    """A tag's name."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises TagInvalid."""
        if _TAG.fullmatch(text) is None:
            raise TagInvalid(
                "the tag is not valid: use 1 to 128 letters, digits, '_', '.' or '-', not starting with '.' or '-'",
                {"tag": text[:200]},
            )
        return cls(text)

    @property
    def is_referrers_fallback(self) -> bool:
        """Whether clients that lack the referrers API use this tag for it ("Referrers Tag Schema")."""
        return _REFERRERS_TAG.fullmatch(self) is not None


def parse_reference(text: str) -> Digest | Tag:
    """A manifest's reference: a digest when it contains a colon, else a tag. Raises DigestInvalid or TagInvalid."""
    return Digest.parse(text) if ":" in text else Tag.parse(text)
