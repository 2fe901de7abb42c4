"""Types that several resources share: users and groups, places and times."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, Field

from entrepot.access.places import Place
from entrepot.errors import Invalid
from entrepot.http.api.resource import Model

REFERENCE_CHARACTERS_MAX = 320
Reference = Annotated[
    str,
    Field(max_length=REFERENCE_CHARACTERS_MAX, pattern=r"^[^:]+:.+$", examples=["local:alice", "robot:team/ci"]),
]
"""A user, a robot or a group, as `provider:name`."""
_FIRST, _LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


def _in_the_calendar(time: datetime) -> datetime:
    """Raises ValueError for a time outside the years 1 to 9999 in UTC."""
    if not _FIRST <= time <= _LAST:
        raise ValueError("the time is not within the years 1 to 9999")
    return time


Time = Annotated[AwareDatetime, AfterValidator(_in_the_calendar)]
PlaceKind = Literal["registry", "namespace", "repository", "pattern"]


class PlaceModel(Model):
    """Where something applies."""

    kind: PlaceKind
    path: str = Field(default="", max_length=255)
    """Empty for the registry. In a pattern, `*` matches anything without a slash, and `**` anything."""

    def place(self) -> Place:
        """Raises GrantInvalid."""
        return Place.parse(self.kind, self.path)

    @classmethod
    def of(cls, place: Place) -> "PlaceModel":
        return cls.model_construct(kind=place.kind, path=place.path)


def parse_reference(text: str, what: str) -> tuple[str, str]:
    """Split a reference into provider and name. Raises Invalid."""
    provider, colon, name = text.partition(":")
    if not provider or not colon or not name or len(text) > REFERENCE_CHARACTERS_MAX:
        raise Invalid(f"this is not a {what}: write provider:name, such as local:alice")
    return provider, name


def time_of(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)
