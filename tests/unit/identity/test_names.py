"""Names of a provider's users, shown as what they are."""

import pytest

from entrepot.identity.names import is_plain, shown


@pytest.mark.parametrize(
    "name", ["alice", "a.b-c_d@example.org", "müller", "иван", "田中さん", "o'neill", "user~2", "42"]
)
def test_plain_name_is_shown_as_it_is(name: str) -> None:
    assert is_plain(name)
    assert shown(name) == name


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("\u0430lice", "U+0430lice"),
        ("\u0430\u0441\u0435", "U+0430U+0441U+0435"),
        ("ali\u200bce", "aliU+200Bce"),
        ("robot+team/ci", "robotU+002Bteam/ci"),
        ("\uff41lice", "U+FF41lice"),
        ("p\u0430ypal-müller", "pU+0430ypal-mU+00FCller"),
    ],
)
def test_name_that_could_be_taken_for_another_is_written_out(name: str, written: str) -> None:
    assert not is_plain(name)
    assert shown(name) == written
    assert is_plain(written)
