"""What is printed is what is there, for people and for scripts."""

import json

import pytest

from entrepot.cli import tables


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.strip() and not line.startswith(" ──")]


def test_table_has_a_line_for_each_row_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    tables.show(("name", "digest"), [("a" * 100, "b" * 100), ("c", None)], json=False)

    assert rows(printed(capsys)) == [["name", "digest"], ["a" * 100, "b" * 100], ["c"]]


def test_text_is_neither_markup_nor_a_face(capsys: pytest.CaptureFixture[str]) -> None:
    tables.show(("what",), [("user:robot:team/ci",), ("[red]a[/red]",)], json=False)

    assert rows(printed(capsys)) == [["what"], ["user:robot:team/ci"], ["[red]a[/red]"]]


def test_terminal_is_told_nothing_by_what_others_wrote(capsys: pytest.CaptureFixture[str]) -> None:
    tables.show(("what",), [("\x1b[2J\x1b]0;title\x07\r\x9b31m\u202e",)], json=False)

    assert not set(printed(capsys)) & set("\x1b\x07\r\x9b\u202e")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "yes"),
        ("2026-11-25T10:00:00.123456Z", "2026-11-25 10:00:00Z"),
        ("2026-11-25T10:00:00+00:00", "2026-11-25 10:00:00Z"),
        ("2026-11-25T10:00:00+01:00", "2026-11-25T10:00:00+01:00"),
        ({"kind": "namespace", "path": "team"}, "namespace:team"),
        ({"kind": "registry", "path": ""}, "registry"),
        (
            [{"permissions": ["repository:pull"], "kind": "repository", "path": "team/app"}],
            "repository:pull on repository:team/app",
        ),
        ({"kind": "token", "id": "a"}, "kind=token, id=a"),
        (["a", "b"], "a, b"),
        ([], ""),
    ],
)
def test_values_are_told_in_words(value: object, text: str) -> None:
    assert tables.text_of(value) == text


def test_json_is_all_that_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    items = [{"name": "a", "place": {"kind": "registry", "path": ""}, "more": "\x1b"}]
    tables.show_items(items, ("name",), json=True)

    assert json.loads(printed(capsys)) == items
