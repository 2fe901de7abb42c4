"""Names that could be taken for others: letters of another script that look like Latin ones, and names of other kinds.

A local user is not given such a name; a provider's user is shown under it with what is not plain written out.
"""

import unicodedata

ROBOT_PREFIX = "robot+"
"""What a robot's name starts with where it is given as a user name."""
_TOGETHER = (frozenset({"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"}), frozenset({"CJK", "HANGUL"}))
"""Scripts that are written in one word."""
_LOOK_LATIN = frozenset("аеорсухіјѕԁԛԝһӏғькнвтмгпАВЕКМНОРСТУХІЈЅԚԜοαυνικρτχηωγΑΒΕΖΗΙΚΜΝΟΡΤΥΧ")
"""Cyrillic and Greek letters that are, or could be, taken for Latin ones. A word of nothing else is none to be told."""


def is_plain(name: str) -> bool:
    """Whether nobody who reads the name takes it for another one, or for one of another kind."""
    if name.startswith(ROBOT_PREFIX) or not name.isprintable() or not unicodedata.is_normalized("NFKC", name):
        return False
    letters = [character for character in name if character.isalpha()]
    scripts = {_script(letter) for letter in letters}
    if len(scripts) > 1 and not any(scripts <= together for together in _TOGETHER):
        return False
    return name.isascii() or scripts == {"LATIN"} or not letters or not _LOOK_LATIN.issuperset(letters)


def shown(name: str) -> str:
    """The name, or what is not plain in it written out: a Cyrillic letter in a Latin word is U+0430.

    Of the robots' prefix the plus is. What is left is a name that no other name looks like.
    """
    if is_plain(name):
        return name
    if name.startswith(ROBOT_PREFIX):
        name = name.replace("+", "U+002B", 1)
    return "".join(one if one.isascii() and one.isprintable() else f"U+{ord(one):04X}" for one in name)


def _script(letter: str) -> str:
    return unicodedata.name(letter, "UNKNOWN").partition(" ")[0]
