"""Names that could be taken for others: letters that look like other ones, what is not seen, names of other kinds.

A local user is not given such a name; a provider's user is shown under it with what is not plain written out.
"""

import unicodedata

ROBOT_PREFIX = "robot+"
"""What a robot's name starts with where it is given as a user name."""
APART = "~"
"""What tells one of two users of a name from the other. No provider brings it."""
# Those in everyday use (UAX 31, table 5). Of others, some have nothing but letters that look Latin.
_SCRIPTS = frozenset(
    {
        "ARABIC",
        "ARMENIAN",
        "BENGALI",
        "BOPOMOFO",
        "CJK",
        "CYRILLIC",
        "DEVANAGARI",
        "ETHIOPIC",
        "GEORGIAN",
        "GREEK",
        "GUJARATI",
        "GURMUKHI",
        "HANGUL",
        "HEBREW",
        "HIRAGANA",
        "KANNADA",
        "KATAKANA",
        "KATAKANA-HIRAGANA",
        "KHMER",
        "LAO",
        "LATIN",
        "MALAYALAM",
        "MYANMAR",
        "ORIYA",
        "SINHALA",
        "TAMIL",
        "TELUGU",
        "THAANA",
        "THAI",
        "TIBETAN",
    }
)
_TOGETHER = (frozenset({"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"}), frozenset({"CJK", "HANGUL"}))
"""Scripts that are written in one word."""
_LOOK_LATIN = frozenset("аеорсухіјѕԁԛԝһӏғькнвтмгпАВЕКМНОРСТУХІЈЅԚԜοαυνικρτχηωγΑΒΕΖΗΙΚΜΝΟΡΤΥΧհօոսցզյ")
"""Cyrillic, Greek and Armenian letters that are, or could be, taken for Latin ones. No word has nothing else in it."""
_LATIN_APART = frozenset("ßæœøđłðþħŋẞÆŒØĐŁÐÞĦŊ")
"""Latin letters that are not one of ASCII with a mark, and are not taken for one either."""
_NOT_SEEN = frozenset("\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f")
"""Letters and marks of some scripts that are not drawn."""


def is_plain(name: str) -> bool:
    """Whether nobody who reads the name takes it for another one, or for one of another kind."""
    if name.casefold().startswith(ROBOT_PREFIX) or not name.isprintable():
        return False
    if name.isascii():
        return True
    # Signs and digits that are not ASCII are often drawn like those that are.
    if not unicodedata.is_normalized("NFKC", name) or not all(map(_is_clear, name)):
        return False
    scripts = {_script(character) for character in name if character.isalpha() or not character.isascii()}
    if len(scripts) > 1:
        return any(scripts <= together for together in _TOGETHER)
    return scripts <= _SCRIPTS and not _LOOK_LATIN.issuperset(one for one in name if one.isalpha())


def shown(name: str) -> str:
    """A provider's name, or what is not plain in it written out: a Cyrillic letter in a Latin word is U+0430.

    So is the plus of the robots' prefix, and what only this registry sets names apart with. What is left is a name that
    no other name looks like.
    """
    name = unicodedata.normalize("NFC", name).replace(APART, f"U+{ord(APART):04X}")
    if is_plain(name):
        return name
    if name.casefold().startswith(ROBOT_PREFIX):
        name = name.replace("+", "U+002B", 1)
    return "".join(one if one.isascii() and one.isprintable() else f"U+{ord(one):04X}" for one in name)


def _is_clear(character: str) -> bool:
    if character.isascii():
        return True
    if unicodedata.category(character)[0] not in "LM" or character in _NOT_SEEN:
        return False
    if _script(character) != "LATIN":
        return True
    return character in _LATIN_APART or unicodedata.normalize("NFD", character)[0].isascii()


def _script(character: str) -> str:
    return unicodedata.name(character, "UNKNOWN").partition(" ")[0]
