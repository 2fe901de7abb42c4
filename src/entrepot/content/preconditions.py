"""What a client says a name is before it is changed (RFC 9110, section 13.1): of two who change it, one fails."""

from dataclasses import dataclass

from entrepot.errors import PreconditionFailed
from entrepot.oci.digest import Digest

ANY = "*"


@dataclass(frozen=True, slots=True)
class Precondition:
    """Digests, or `*`; None where the client does not say. `match` is If-Match, `none_match` If-None-Match."""

    match: frozenset[str] | None = None
    none_match: frozenset[str] | None = None

    def require(self, name: str, current: Digest | None) -> None:
        """Raises PreconditionFailed unless what the name names now, None for nothing, is what the client says."""
        known = frozenset() if current is None else {ANY, current}
        matches = self.match is None or bool(self.match & known)
        if matches and not (self.none_match is not None and self.none_match & known):
            return
        now = "is not there" if current is None else f"is {current} now"
        raise PreconditionFailed(
            f"{name} {now}, which is not what the request is for: read it again", {"digest": current}
        )


ALWAYS = Precondition()
