"""Converts values of the command line to the API's form."""

import re
from datetime import UTC, datetime

from entrepot.errors import Invalid

_DURATION = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}
PLACE_KINDS = ("registry", "namespace", "repository", "pattern")


def place(text: str) -> dict[str, str]:
    """Parse `registry`, `namespace:team`, `repository:team/app` or `pattern:team/*`. Raises Invalid."""
    kind, colon, path = text.partition(":")
    if text in {"registry", "/"}:
        return {"kind": "registry", "path": ""}
    if kind not in PLACE_KINDS[1:] or not colon or not path.strip("/"):
        raise Invalid(
            f"{text!r} is not a valid place: write registry, namespace:team, repository:team/app or pattern:team/*-dev"
        )
    return {"kind": kind, "path": path.strip("/")}


def seconds(text: str | None) -> int | None:
    """Parse `90d`, `12h` or `30m`; None for `never`. Raises Invalid."""
    if text is None or text == "never":
        return None
    match = _DURATION.fullmatch(text)
    if match is None:
        raise Invalid(f"{text!r} is not a valid duration: write it as 90d, 12h or 30m, or never")
    return int(match[1]) * _SECONDS[match[2]]


def moment(text: str | None) -> str | None:
    """Parse a date or a time; UTC unless it has a zone. Raises Invalid."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(f"{text!r} is not a valid time: write it as 2027-01-01 or 2027-01-01T10:00:00Z") from None
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).isoformat()


def reference(text: str) -> str:
    """The `provider:name` of a user or a group; without a provider, a local one."""
    return text if ":" in text else f"local:{text}"


def split(text: str) -> tuple[str, str]:
    """Split a reference into provider and name."""
    provider, _, name = reference(text).partition(":")
    return provider, name


def limit(permissions: list[str], where: dict[str, str]) -> list[dict[str, object]] | None:
    """A token's limits; None without permissions."""
    return [{"permissions": permissions, **where}] if permissions else None


def pair(text: str, what: str) -> tuple[str, str]:
    """Parse `name=value`. Raises Invalid."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise Invalid(f"{text!r} is not a valid {what}: write it as name=value")
    return name, value
