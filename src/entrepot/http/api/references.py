"""What several resources say alike: who somebody is, where something is, and when."""

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
"""`provider:name` of a user, a robot or a group."""
_FIRST, _LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


def _in_the_calendar(time: datetime) -> datetime:
    """Raises ValueError for a time that is in another year, before the first or after the last, in UTC."""
    if not _FIRST <= time <= _LAST:
        raise ValueError("the time is not within the years 1 to 9999")
    return time


Time = Annotated[AwareDatetime, AfterValidator(_in_the_calendar)]
PlaceKind = Literal["registry", "namespace", "repository", "pattern"]


class PlaceModel(Model):
    """Where something holds."""

    kind: PlaceKind
    path: str = Field(default="", max_length=255)
    """Empty for the registry. In a pattern, `*` stands for anything but a slash and `**` for anything."""

    def place(self) -> Place:
        """Raises GrantInvalid."""
        return Place.parse(self.kind, self.path)

    @classmethod
    def of(cls, place: Place) -> "PlaceModel":
        return cls.model_construct(kind=place.kind, path=place.path)


def parse_reference(text: str, what: str) -> tuple[str, str]:
    """Provider and name. Raises Invalid."""
    provider, colon, name = text.partition(":")
    if not provider or not colon or not name or len(text) > REFERENCE_CHARACTERS_MAX:
        raise Invalid(f"a {what} is named provider:name, as in local:alice")
    return provider, name


def time_of(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)
