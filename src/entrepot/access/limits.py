"""What a token may be limited to: permissions, in a place."""

from collections.abc import Iterable

from entrepot.access.errors import LimitInvalid
from entrepot.access.permissions import GRANTABLE, PLACED
from entrepot.access.places import REGISTRY, Place
from entrepot.principal import Limit

ANYTHING = "*"
_KNOWN = {permission.value: permission for permission in GRANTABLE}


def parse(permissions: Iterable[str], kind: str, path: str) -> Limit:
    """Raises LimitInvalid for permissions that are none there, GrantInvalid for a place that is none."""
    wanted = frozenset(permissions)
    unknown = sorted(wanted - set(_KNOWN) - {ANYTHING})
    if unknown or not wanted:
        raise LimitInvalid(
            f"a limit needs one or more of the permissions {ANYTHING}, {', '.join(sorted(_KNOWN))}",
            {"unknown": [value[:64] for value in unknown[:10]]},
        )
    place = Place.parse(kind, path)
    nowhere = sorted(value for value in wanted - {ANYTHING} if _KNOWN[value] not in PLACED)
    if nowhere and place.kind != REGISTRY:
        raise LimitInvalid(f"{', '.join(nowhere)} can only be limited to the whole registry", {"permissions": nowhere})
    return Limit(wanted, place.kind, place.path)
