"""What is printed is what is there, for people and for scripts."""

import json
import logging
import threading
from collections.abc import Iterator

import pytest

from entrepot.cli import output
from entrepot.cli.output import DRAWN_ROWS_MAX


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.strip() and not line.startswith(" ──")]


def test_table_has_a_line_for_each_row_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    output.show(("name", "digest"), [("a" * 100, "b" * 100), ("c", None)], json=False)

    assert rows(printed(capsys)) == [["name", "digest"], ["a" * 100, "b" * 100], ["c"]]


def test_table_that_is_long_looks_like_a_short_one(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [(f"name-{number:04d}", ["a", "\x1b", "語"][number % 3] * 9, None) for number in range(DRAWN_ROWS_MAX + 1)]
    output.show(("name", "what", "else"), lines[:-1], json=False)
    drawn = [line.rstrip() for line in printed(capsys).splitlines() if line.strip()]
    output.show(("name", "what", "else"), lines, json=False)
    written = [line.rstrip() for line in printed(capsys).splitlines() if line.strip()]

    assert written[:-1] == drawn
    assert written[-1].split() == ["name-1000", "\\u001b" * 9]


def test_table_that_is_long_is_shown_as_its_rows_come(capsys: pytest.CaptureFixture[str]) -> None:
    shown: list[str] = []

    def coming() -> Iterator[tuple[str, ...]]:
        for number in range(3 * DRAWN_ROWS_MAX):
            if number == 2 * DRAWN_ROWS_MAX:
                shown.append(printed(capsys))
            yield (f"name-{number}", [{"a": 1}, {"b": "\n"}] if number else "[red]")

    output.show(("name", "what"), coming(), json=False)
    shown.append(printed(capsys))

    assert shown[0].count("name-") > DRAWN_ROWS_MAX
    assert rows("".join(shown)) == [
        ["name", "what"],
        ["name-0", "[red]"],
        *([f"name-{number}", "a=1;", r"b=\n"] for number in range(1, 3 * DRAWN_ROWS_MAX)),
    ]


def test_text_is_neither_markup_nor_a_face(capsys: pytest.CaptureFixture[str]) -> None:
    output.show(("what",), [("user:robot:team/ci",), ("[red]a[/red]",)], json=False)

    assert rows(printed(capsys)) == [["what"], ["user:robot:team/ci"], ["[red]a[/red]"]]


def test_terminal_is_told_nothing_by_what_others_wrote(capsys: pytest.CaptureFixture[str]) -> None:
    output.show(("what",), [("\x1b[2J\x1b]0;title\x07\r\x9b31m\u202e",)], json=False)

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
    assert output.text_of(value) == text


def test_members_and_places_are_shown_as_values_are() -> None:
    assert output.text_of({"a\x1b": "b\n"}) == "a\\u001b=b\\n"
    assert output.text_of({"kind": "namespace", "path": "team\x9b"}) == "namespace:team\\u009b"


def test_lines_of_an_error_are_no_lines_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    output.fail("refused\nentrepot: done\x1b")
    output.fail("these are wrong:\n  a\nb\x1b", lines=True)

    said = capsys.readouterr().err
    assert said == "entrepot: refused\\nentrepot: done\\u001b\nentrepot: these are wrong:\n  a\n  b\\u001b\n"


def test_defect_is_told_without_what_it_quotes_being_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError("a\x1b[2J\nentrepot: done")
    except ValueError as error:
        output.crash(error)

    said = capsys.readouterr().err
    assert said.endswith("ValueError: a\\u001b[2J\n  entrepot: done\n")
    assert said.startswith("Traceback ")


def test_warnings_are_lines_of_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = root.handlers[:]
    hook = threading.excepthook
    try:
        root.handlers = []
        output.show_warnings()
        logging.getLogger("test").warning("it is %s", "a\x9b\nentrepot: done")
    finally:
        root.handlers, threading.excepthook = before, hook

    assert capsys.readouterr().err == "it is a\\u009b\n  entrepot: done\n"


def test_json_is_all_that_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    items = [{"name": "a", "place": {"kind": "registry", "path": ""}, "more": "\x1b\x9b\u202e"}]
    output.show_items(items, ("name",), json=True)

    assert json.loads(printed(capsys)) == items
