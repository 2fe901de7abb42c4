"""What people write on the command line, as the API has it."""

import re
from datetime import UTC, datetime

from entrepot.errors import Invalid

_DURATION = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}
PLACE_KINDS = ("registry", "namespace", "repository", "pattern")


def place(text: str) -> dict[str, str]:
    """`registry`, `namespace:team`, `repository:team/app`, `pattern:team/*`. Raises Invalid."""
    kind, colon, path = text.partition(":")
    if text in {"registry", "/"}:
        return {"kind": "registry", "path": ""}
    if kind not in PLACE_KINDS[1:] or not colon or not path.strip("/"):
        raise Invalid(
            f"{text!r} is no place: write registry, namespace:team, repository:team/app or pattern:team/*-dev"
        )
    return {"kind": kind, "path": path.strip("/")}


def seconds(text: str | None) -> int | None:
    """`90d`, `12h`, `30m`; nothing for `never`. Raises Invalid."""
    if text is None or text == "never":
        return None
    match = _DURATION.fullmatch(text)
    if match is None:
        raise Invalid(f"{text!r} is no duration: write it as 90d, 12h or 30m, or never")
    return int(match[1]) * _SECONDS[match[2]]


def moment(text: str | None) -> str | None:
    """A date or a time, UTC unless it says otherwise. Raises Invalid."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(f"{text!r} is no time: write it as 2027-01-01 or 2027-01-01T10:00:00Z") from None
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).isoformat()


def reference(text: str) -> str:
    """`provider:name` of a user or a group; one without a provider is the registry's own."""
    return text if ":" in text else f"local:{text}"


def split(text: str) -> tuple[str, str]:
    """Provider and name."""
    provider, _, name = reference(text).partition(":")
    return provider, name


def limit(permissions: list[str], where: dict[str, str]) -> list[dict[str, object]] | None:
    """What a token is limited to; None without permissions."""
    return [{"permissions": permissions, **where}] if permissions else None


def pair(text: str, what: str) -> tuple[str, str]:
    """`name=value`. Raises Invalid."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise Invalid(f"{text!r} is no {what}: write it as name=value")
    return name, value
