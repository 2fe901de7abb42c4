"""Pages of a list: `n` and `last`, and the Link header to the next page (RFC 5988)."""

from urllib.parse import quote

from entrepot.errors import Invalid
from entrepot.http.messages import Headers, Request

PAGE_MAX = 1000
"""Entries in a page when the client does not say how many, or asks for more."""


def page_size(request: Request) -> int:
    """Raises Invalid for something that is not a number of entries."""
    text = request.query("n")
    if text is None or text == "":
        return PAGE_MAX
    if not text.isdecimal() or not text.isascii():
        raise Invalid("n must be a number of entries: 0 or more", {"n": text[:50]})
    # Of a number too long for int() the first digits are enough to know that it is more than a page.
    return min(int(text.lstrip("0")[:9] or "0"), PAGE_MAX)


def next_link(path: str, **query: str | int | None) -> Headers:
    parameters = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in query.items() if value is not None)
    return [(b"link", f'<{path}?{parameters}>; rel="next"'.encode())]
