"""What a terminal would obey, or not show, is seen; all else is as it was."""

import json
import unicodedata

import pytest

from entrepot.telemetry.terminal import visible, visible_json

EVERYTHING = "".join(map(chr, [*range(0x3000), *range(0xD7F0, 0x11000), *range(0xDFFF0, 0xE0210)]))


@pytest.mark.parametrize(
    "text", ["", "alice", 'C:\\a "b"', "müller", "山田　太郎", "Ελένη", "דוד", "🦀", "a\u00a0b", "e\u0301"]
)
def test_text_that_is_only_text_stays(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\u001b[2J"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x7f\x85\x9b", "\\u007f\\u0085\\u009b"),
        ("\u202ea\u2066", "\\u202ea\\u2066"),
        ("a\u200bb\ufeff", "a\\u200bb\\ufeff"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("\U000e0041", "\\udb40\\udc41"),
        ("\ud800", "\\ud800"),
        ("\u3164\ufe0f", "\\u3164\\ufe0f"),
    ],
)
def test_what_is_not_seen_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_layout_stays_where_it_is_wanted() -> None:
    assert visible("a\n\tb\x1b", "\n\t") == "a\n\tb\\u001b"


def test_nothing_is_written_out_twice() -> None:
    once = visible(EVERYTHING)

    assert visible(once) == once
    assert not {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} & {unicodedata.category(one) for one in once}


def test_json_says_the_same() -> None:
    whole = "".join(one for one in EVERYTHING if unicodedata.category(one) != "Cs")
    written = json.dumps({whole: [whole, '"\\']}, ensure_ascii=False, indent=2)

    shown = visible_json(written.encode())

    assert json.loads(shown) == json.loads(written)
    assert visible(shown.decode(), "\n") == shown.decode()


def test_json_of_ascii_is_not_touched() -> None:
    text = b'{"a": "\\u001b"}\n'

    assert visible_json(text) is text
    assert visible_json(b'"\x7f"') == b'"\\u007f"'
