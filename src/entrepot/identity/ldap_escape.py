"""What a user typed, on its way into a filter (RFC 4515) or a distinguished name (RFC 4514): only ever a value.

Both grammars allow any byte as a backslash and two hexadecimal digits, so everything but plain letters, digits and a
few signs that mean nothing anywhere is written so: there is no list of dangerous characters that could be too short.
"""

import string
import unicodedata

PLAIN = frozenset((string.ascii_letters + string.digits + "-_.@").encode())
NAME_CHARACTERS_MAX = 256
NAME = "{name}"
DN = "{dn}"


def escaped(value: str | bytes) -> str:
    """A value for a filter or for a distinguished name, whatever is in it."""
    raw = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
    return "".join(chr(byte) if byte in PLAIN else f"\\{byte:02x}" for byte in raw)


def filled(template: str, *, name: str = "", dn: str = "") -> str:
    """A filter or distinguished name with the escaped values in their places."""
    # An escaped value has no brace: the second replacement finds nothing in what the first one put in.
    return template.replace(NAME, escaped(name)).replace(DN, escaped(dn))


def is_name(text: str) -> bool:
    """Whether a directory may be asked for this name at all.

    Directories compare names after a preparation (RFC 4518) that folds forms of characters, drops invisible ones and
    squeezes spaces. A name that it would change is refused, or one user had many names to guess passwords with.
    """
    if not text or len(text) > NAME_CHARACTERS_MAX or text != " ".join(text.split()):
        return False
    if any(unicodedata.category(character).startswith("C") for character in text):
        return False
    return unicodedata.is_normalized("NFKC", text)
