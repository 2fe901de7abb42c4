"""Makes text safe for terminals: control and invisible characters become visible. Only this module does so."""

import json
import unicodedata

_NOT_DRAWN = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]))
)
"""Characters that Unicode counts as letters, marks or signs, but that are invisible: fillers, joiners, selectors."""


def visible(text: str, layout: str = "") -> str:
    r"""The text with each invisible character escaped as in JSON: `\u001b`, `\u202e`, `\n`.

    Invisible are control and format characters, line and paragraph separators, lone surrogates, and what Unicode has
    not assigned yet. The characters of `layout` stay. In the strings of a JSON text, the meaning stays the same.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if one in layout or _is_drawn(one) else json.dumps(one)[1:-1] for one in text)


def visible_json(text: bytes) -> bytes:
    """Equivalent JSON in UTF-8 that is safe to show on a terminal. White space between values stays."""
    # Below 0x20, JSON has its own escapes already.
    if text.isascii() and b"\x7f" not in text:
        return text
    return visible(text.decode(), "\r\n\t").encode()


def _is_drawn(character: str) -> bool:
    if character in _NOT_DRAWN:
        return False
    return character.isprintable() or unicodedata.category(character) == "Zs"
