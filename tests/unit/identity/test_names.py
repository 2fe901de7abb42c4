"""Names of a provider's users, shown as what they are."""

import pytest

from entrepot.identity.names import is_plain, shown


@pytest.mark.parametrize(
    "name",
    [
        "alice",
        "a.b-c_d@example.org",
        "müller",
        "søren",
        "nguyễn",
        "иван",
        "γιώργος",
        "田中さん",
        "김민준",
        "प्रिया",
        "สมชาย",
        "o'neill",
        "42",
    ],
)
def test_plain_name_is_shown_as_it_is(name: str) -> None:
    assert is_plain(name)
    assert shown(name) == name


@pytest.mark.parametrize(
    ("name", "written"),
    [
        # Letters that look like others, of another script, of the same one, and of a script of nothing but such.
        ("\u0430lice", "U+0430lice"),
        ("\u0430\u0441\u0435", "U+0430U+0441U+0435"),
        ("adm\u0131n", "admU+0131n"),
        ("\u0251dmin", "U+0251dmin"),
        ("\uff41lice", "U+FF41lice"),
        ("\ua4ee\ua4d3\ua4df", "U+A4EEU+A4D3U+A4DF"),
        ("p\u0430ypal-müller", "pU+0430ypal-mU+00FCller"),
        # What is not seen.
        ("ali\u200bce", "aliU+200Bce"),
        ("alice\ufe0f", "aliceU+FE0F"),
        ("ali\u034fce", "aliU+034Fce"),
        ("alice\u2800", "aliceU+2800"),
        ("\u1160김", "U+1160U+AE40"),
        ("bo\u0338b", "boU+0338b"),
        # Other kinds, and signs that look like those between a provider, a namespace and a name.
        ("robot+team/ci", "robotU+002Bteam/ci"),
        ("Robot+ci", "RobotU+002Bci"),
        ("local\u2236admin", "localU+2236admin"),
        ("local\ua789admin", "localU+A789admin"),
        ("team\u2044ci", "teamU+2044ci"),
        ("42\u0661", "42U+0661"),
    ],
)
def test_name_that_could_be_taken_for_another_is_written_out(name: str, written: str) -> None:
    assert not is_plain(name)
    assert shown(name) == written
    assert is_plain(written)


def test_name_brings_nothing_that_sets_names_apart_here() -> None:
    assert shown("alice~0123456789ab") == "aliceU+007E0123456789ab"


def test_name_in_another_form_of_unicode_is_the_same() -> None:
    assert shown("mu\u0308ller") == "müller"
