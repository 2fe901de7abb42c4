"""Cookies (RFC 6265). None is ever read by scripts, and none is sent along by another site's forms."""

from collections.abc import Mapping

from entrepot.http.messages import Request

SESSION = "entrepot_session"
LOGIN_PREFIX = "entrepot_login_"
"""What a login in this browser is finished with; a browser may have several under way."""


def read(request: Request) -> Mapping[str, str]:
    """The first of each name: what is set for the longest path comes first (RFC 6265, section 5.4)."""
    found: dict[str, str] = {}
    for name, value in request.scope["headers"]:
        if name == b"cookie":
            for pair in value.decode("latin-1").split(";"):
                key, _, text = pair.strip().partition("=")
                found.setdefault(key, text)
    return found


def write(name: str, value: str, *, seconds: int, path: str, secure: bool) -> tuple[bytes, bytes]:
    """The header that keeps a cookie so long; 0 seconds take it away."""
    text = f"{name}={value}; Max-Age={seconds}; Path={path}; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}"
    return (b"set-cookie", text.encode())
