"""Signing in with a password in a browser: the page, the session, and what other sites could make of it."""

from collections.abc import Iterator

import httpx
import pytest

from tests.functional.setups import SetUp

COOKIE = "entrepot_session"


@pytest.fixture
def browser(set_up: SetUp) -> Iterator[httpx.Client]:
    with set_up.server.client(anonymous=True) as client:
        yield client


def sign_in(browser: httpx.Client, set_up: SetUp, password: str = "", **fields: str) -> httpx.Response:
    form = {"username": set_up.server.username, "password": password or set_up.server.password, **fields}
    return browser.post("/auth/login", data=form)


def test_page_asks_who_is_there_and_says_so(browser: httpx.Client, set_up: SetUp) -> None:
    assert 'name="password"' in browser.get("/").text

    answer = sign_in(browser, set_up)

    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=Lax", "Path=/"))
    assert f"local:{set_up.server.username}" in browser.get("/").text
    assert browser.get("/v2/").status_code == 200


def test_session_ends_when_signed_out_on_every_worker(browser: httpx.Client, set_up: SetUp) -> None:
    sign_in(browser, set_up)
    value = browser.cookies[COOKIE]

    assert browser.post("/auth/logout").status_code == 303

    with set_up.server.client(anonymous=True) as other:
        other.cookies.set(COOKIE, value)
        assert set_up.soon(lambda: other.get("/v2/").status_code == 401)


def test_wrong_password_is_told_on_the_page_and_starts_nothing(browser: httpx.Client, set_up: SetUp) -> None:
    answer = sign_in(browser, set_up, "wrong")

    assert answer.status_code == 401
    assert "wrong" in answer.text
    assert "set-cookie" not in answer.headers
    sign_in(browser, set_up)


def test_page_shows_what_was_typed_as_text_only(browser: httpx.Client, set_up: SetUp) -> None:
    answer = sign_in(browser, set_up, "wrong", username="<script>alert(1)</script>", return_to='/"><script>')

    assert "<script>" not in answer.text
    assert "script-src" not in answer.headers.get("content-security-policy", "default-src 'none'")


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "/\r\nx: y"])
def test_browser_is_never_sent_elsewhere(browser: httpx.Client, set_up: SetUp, target: str) -> None:
    assert sign_in(browser, set_up, return_to=target).status_code == 400


@pytest.mark.parametrize(
    "theirs", [{"sec-fetch-site": "cross-site"}, {"origin": "http://evil.example"}, {"origin": "null"}]
)
def test_other_sites_can_neither_sign_in_nor_act(browser: httpx.Client, set_up: SetUp, theirs: dict[str, str]) -> None:
    form = {"username": set_up.server.username, "password": set_up.server.password}
    assert browser.post("/auth/login", data=form, headers=theirs).status_code == 403
    sign_in(browser, set_up)

    for ask in (
        lambda: browser.post("/v2/team/app/blobs/uploads/", headers=theirs),
        lambda: browser.put("/api/v1/roles/theirs", json={"permissions": ["repository:pull"]}, headers=theirs),
    ):
        assert ask().status_code == 403
    # The page's own requests, and those of browsers that say nothing.
    for own in ({"origin": set_up.server.url}, {"sec-fetch-site": "same-origin", "origin": "null"}, {}):
        assert browser.post("/v2/team/app/blobs/uploads/", headers=own).status_code == 202


@pytest.mark.parametrize("value", ["", "x", "x" * 10_000, "../..", "'; DROP TABLE sessions"])
def test_cookie_that_is_no_session_is_nobody(browser: httpx.Client, value: str) -> None:
    assert browser.get("/v2/", headers={"cookie": f"{COOKIE}={value}"}).status_code == 401
