"""Cookies, both ways."""

import pytest

from entrepot.http import cookies
from tests.unit.http.requests import request


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("a=1", {"a": "1"}),
        ("a=1; b=2", {"a": "1", "b": "2"}),
        ("a=1;b=2", {"a": "1", "b": "2"}),
        ("a=1; a=2", {"a": "1"}),
        ("a=b=c", {"a": "b=c"}),
        ("a", {"a": ""}),
        ("", {"": ""}),
    ],
)
def test_cookies_of_a_request_are_read(header: str, expected: dict[str, str]) -> None:
    assert cookies.read(request(headers={"cookie": header})) == expected


def test_cookies_of_several_headers_are_read() -> None:
    """As HTTP/2 allows (RFC 9113, section 8.2.3)."""
    asked = request()
    asked.scope["headers"] = [(b"cookie", b"a=1"), (b"cookie", b"b=2")]

    assert cookies.read(asked) == {"a": "1", "b": "2"}


def test_cookie_is_for_this_registry_and_not_for_scripts() -> None:
    name, value = cookies.write("entrepot_session", "v", seconds=60, path="/", secure=True)

    assert name == b"set-cookie"
    assert value == b"entrepot_session=v; Max-Age=60; Path=/; HttpOnly; SameSite=Lax; Secure"
    assert b"Secure" not in cookies.write("a", "v", seconds=60, path="/", secure=False)[1]
