"""Where a browser goes once it is signed in: only to pages of this registry."""

from entrepot.errors import Invalid

HOME = "/"
CHARACTERS_MAX = 1000


class ReturnInvalid(Invalid):
    code = "return_invalid"


def parse(text: str) -> str:
    """A path of our own, with its query. Raises ReturnInvalid.

    Browsers read a second slash or a backslash at the beginning as another host's name, and skip control characters
    wherever they are (WHATWG URL, "URL parsing").
    """
    if not text:
        return HOME
    usable = text.isascii() and text.isprintable() and " " not in text and "\\" not in text
    if len(text) > CHARACTERS_MAX or not usable or not text.startswith("/") or text.startswith("//"):
        raise ReturnInvalid("return_to must be a path of this registry, such as /repositories")
    return text
