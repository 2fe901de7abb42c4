"""What a client says a name is before it is changed (RFC 9110, section 13.1): of two who change it, one fails."""

from collections.abc import Container
from dataclasses import dataclass

from entrepot.errors import PreconditionFailed

ANY = "*"


@dataclass(frozen=True, slots=True)
class Precondition:
    """Digests or other entity tags, or `*`; None where the client does not say.

    `match` is If-Match, `none_match` If-None-Match.
    """

    match: frozenset[str] | None = None
    none_match: frozenset[str] | None = None

    @classmethod
    def parse(cls, if_match: str | None, if_none_match: str | None = None) -> "Precondition":
        """Read the headers; `*` is anything where it stands alone.

        Weak tags are kept with their prefix, and so never match: none of ours is weak.
        """
        return cls(_entity_tags(if_match), _entity_tags(if_none_match))

    def require(self, name: str, current: str | None) -> None:
        """Raises PreconditionFailed unless what the name names now, None for nothing, is what the client says."""
        known = frozenset() if current is None else {ANY, current}
        matches = self.match is None or bool(self.match & known)
        if matches and not (self.none_match is not None and self.none_match & known):
            return
        now = "does not exist" if current is None else f"is now {current}"
        raise PreconditionFailed(
            f"{name} {now}, which does not meet If-Match or If-None-Match: read it again", {"current": current}
        )


class _Everything(Container[str]):
    def __contains__(self, digest: object) -> bool:
        return True


NOTHING: Container[str] = frozenset()


def known_digests(if_none_match: str | None) -> Container[str]:
    """Digests of content that a client has already, so that it need not be sent (RFC 9110, section 13.1.2).

    Tags are compared weakly: a proxy may have made one weak.
    """
    if if_none_match is None:
        return NOTHING
    if if_none_match.strip() == ANY:
        return _Everything()
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return frozenset(tag[1:-1] for tag in tags if tag[:1] == tag[-1:] == '"')


def _entity_tags(text: str | None) -> frozenset[str] | None:
    if text is None:
        return None
    if text.strip() == ANY:
        return frozenset({ANY})
    return frozenset(tag.strip().strip('"') for tag in text.split(",")) - {ANY}


ALWAYS = Precondition()
