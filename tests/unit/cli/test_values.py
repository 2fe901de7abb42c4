"""Values of the command line are converted to the API's form."""

import pytest

from entrepot.cli import values
from entrepot.errors import Invalid


@pytest.mark.parametrize(
    ("text", "kind", "path"),
    [
        ("registry", "registry", ""),
        ("/", "registry", ""),
        ("namespace:team", "namespace", "team"),
        ("namespace:/team/", "namespace", "team"),
        ("repository:team/app", "repository", "team/app"),
        ("pattern:team/*-dev", "pattern", "team/*-dev"),
    ],
)
def test_place_is_read(text: str, kind: str, path: str) -> None:
    assert values.place(text) == {"kind": kind, "path": path}


@pytest.mark.parametrize("text", ["", "team", "namespace", "namespace:", "namespace:/", "registry:team", "cluster:a"])
def test_place_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="namespace:team"):
        values.place(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90d", 7_776_000), ("12h", 43_200), ("5m", 300), ("1w", 604_800), ("0s", 0)]
)
def test_duration_is_read(text: str, seconds: int) -> None:
    assert values.seconds(text) == seconds


@pytest.mark.parametrize("text", ["never", None])
def test_what_never_ends_has_no_duration(text: str | None) -> None:
    assert values.seconds(text) is None


@pytest.mark.parametrize("text", ["", "90", "d", "-1d", "1.5h", "1y", "1d1h", "٣d"])
def test_duration_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="90d"):
        values.seconds(text)


def test_time_without_a_zone_is_utc() -> None:
    assert values.moment("2027-01-01") == "2027-01-01T00:00:00+00:00"
    assert values.moment("2027-01-01T10:00:00+02:00") == "2027-01-01T10:00:00+02:00"
    assert values.moment(None) is None


def test_time_that_is_none_is_refused() -> None:
    with pytest.raises(Invalid, match="2027-01-01"):
        values.moment("tomorrow")


def test_name_without_a_provider_is_the_registrys_own() -> None:
    assert values.reference("alice") == "local:alice"
    assert values.reference("corp:alice") == "corp:alice"
    assert values.split("robot:team/ci") == ("robot", "team/ci")
