"""What a terminal would obey, or not show, made visible: nothing else in the program cleans text for terminals."""

import json
import unicodedata

_NOT_DRAWN = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]))
)
"""Letters, marks and signs by Unicode's word, of which nothing is seen: fillers, joiners, selectors of variants."""


def visible(text: str, layout: str = "") -> str:
    r"""The text with each character that is not drawn as JSON would write it: `\u001b`, `\u202e`, `\n`.

    Those are control and format characters, line and paragraph separators, halves of characters, and what Unicode has
    not given a meaning yet. The characters of `layout` stay. Within the strings of a JSON text, it means the same.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if one in layout or _is_drawn(one) else json.dumps(one)[1:-1] for one in text)


def visible_json(text: bytes) -> bytes:
    """JSON in UTF-8 that says the same, and that a terminal can be shown. What is between its values stays."""
    # Below 0x20, JSON has its own escapes already.
    if text.isascii() and b"\x7f" not in text:
        return text
    return visible(text.decode(), "\r\n\t").encode()


def _is_drawn(character: str) -> bool:
    if character in _NOT_DRAWN:
        return False
    return character.isprintable() or unicodedata.category(character) == "Zs"
