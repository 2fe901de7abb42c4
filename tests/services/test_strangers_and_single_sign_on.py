"""What strangers do to a registry that people sign in to by a real OpenID provider, and that it keeps nobody out."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from sqlalchemy import Connection, delete, func, select

from entrepot.clock import system_clock
from entrepot.database.base import metadata
from entrepot.identity import browser_logins
from entrepot.identity.browser_logins import BrowserLogin
from entrepot.identity.keys import load_or_make
from entrepot.identity.tables import device_logins, used_logins
from tests.peers.entrepot import PROGRAM, Entrepot
from tests.peers.oidc_provider import CONFIDENTIAL, OIDCProvider
from tests.peers.process import run
from tests.services.test_single_sign_on import SESSION, Site

LOGIN_COOKIE = "entrepot_login_"
PER_ADDRESS, IN_ALL = 3, 5
STRANGER, PERSON = "192.0.2.66", "198.51.100.1"
DEVICE_PATH = "/device/auth"
COOKIE_BYTES_MAX, HEADER_BYTES_MAX = 4096, 8192
"""What browsers keep, and what a proxy takes of a request's header."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A registry with few places for logins on devices, behind a proxy, and two providers that are really one."""
    provider = OIDCProvider(tmp_path_factory.mktemp("provider"))
    config = f"""
        [server]
        trusted_proxies = ["127.0.0.1/32"]

        [login]
        device_logins_per_address_max = {PER_ADDRESS}
        device_logins_max = {IN_ALL}
    """
    for name in ("sso", "second"):
        config += f"""
        [[providers]]
        name = "{name}"
        type = "oidc"
        issuer = "{provider.issuer}"
        client_id = {json.dumps(CONFIDENTIAL.client_id)}
        client_secret = {json.dumps(CONFIDENTIAL.secret)}
        """
    registry = Entrepot(tmp_path_factory.mktemp("registry"), config=config)
    provider.registry = registry.url
    with provider, registry:
        yield Site(registry, provider)
    registry.remove_data()


@pytest.fixture(autouse=True)
def _places(site: Site) -> None:
    """All places are free."""
    site.write(lambda connection: connection.execute(delete(device_logins)))


@dataclass(frozen=True)
class Login:
    """A login that the provider has let go back: the address, and what the browser has kept for it."""

    address: str
    cookies: dict[str, str]

    @property
    def state(self) -> str:
        return parse_qs(urlsplit(self.address).query)["state"][0]

    def with_query(self, path: str = "", **changes: str) -> str:
        parts = urlsplit(self.address)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()} | changes
        return parts._replace(path=path or parts.path, query=urlencode(query)).geturl()


def come_back(site: Site, return_to: str = "/") -> Login:
    with site.provider.browser() as browser:
        address = site.back(browser, return_to=return_to)
        kept = {
            cookie.name: cookie.value or "" for cookie in browser.cookies.jar if cookie.name.startswith(LOGIN_COOKIE)
        }
    return Login(address, kept)


def finish(site: Site, address: str, cookies: dict[str, str]) -> httpx.Response:
    """In a browser that has these cookies and no others."""
    with site.client() as browser:
        return browser.get(address, headers={"cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())})


def refuse(site: Site, address: str, cookies: dict[str, str]) -> str:
    """Why the login is not finished: without the provider being asked, or anything being written."""
    asked, rows = site.provider.requests("/token"), rows_of(site)
    answer = finish(site, address, cookies)
    assert answer.status_code == 400, answer.text
    assert "set-cookie" not in answer.headers
    assert (site.provider.requests("/token"), rows_of(site)) == (asked, rows)
    message: str = answer.json()["errors"][0]["message"]
    return message


def rows_of(site: Site) -> dict[str, int]:
    """How many rows each table has, but for the chain of the audit log, which goes on by itself."""

    def count(connection: Connection) -> dict[str, int]:
        tables = [table for table in metadata.sorted_tables if not table.name.startswith("audit_")]
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables
        }

    return site.write(count)


def begin(site: Site, address: str, provider: str = "sso") -> httpx.Response:
    """Start a login on a device, from this address."""
    with site.client() as device:
        return device.post(f"/auth/{provider}/device", headers={"x-forwarded-for": address})


# In a browser.


def test_logins_that_strangers_begin_leave_nothing_behind(site: Site) -> None:
    before, records = rows_of(site), len(site.audit())
    with site.client() as stranger:
        for _ in range(500):
            assert stranger.get("/auth/sso/login", headers={"cookie": "none=1"}).status_code == 303

    assert (rows_of(site), len(site.audit())) == (before, records)
    with site.provider.browser() as browser:
        assert site.sign_in(browser).status_code == 303
        assert SESSION in browser.cookies


def test_answers_that_strangers_make_up_leave_no_login_behind(site: Site) -> None:
    before = rows_of(site)
    with site.client() as stranger:
        for number in range(20):
            started = stranger.get("/auth/sso/login")
            state = parse_qs(urlsplit(started.headers["location"]).query)["state"][0]
            query = {"state": state, "code": str(number), "iss": site.provider.issuer}
            assert stranger.get("/auth/sso/callback", params=query).status_code == 401

    assert rows_of(site) == before


def test_login_is_not_spoiled_by_who_does_not_have_its_cookie(site: Site) -> None:
    login = come_back(site, "/mine")
    for code in ("", "made-up"):
        refuse(site, login.with_query(code=code), {})

    finished = finish(site, login.address, login.cookies)
    assert (finished.status_code, finished.headers["location"]) == (303, "/mine")


def test_login_is_finished_once_also_by_who_has_all_of_it(site: Site) -> None:
    login = come_back(site)
    used = site.write(lambda connection: connection.execute(select(func.count()).select_from(used_logins)).scalar_one())
    assert finish(site, login.address, login.cookies).status_code == 303
    assert rows_of(site)["used_logins"] == used + 1

    assert "already finished" in refuse(site, login.address, login.cookies)
    assert "already finished" in refuse(site, login.with_query(code="another"), login.cookies)


def test_login_that_many_finish_at_once_is_finished_once_at_most(site: Site) -> None:
    """A provider that gets a code several times may take back what it gave for it the first time."""
    login, sessions = come_back(site), rows_of(site)["sessions"]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: finish(site, login.address, login.cookies), range(8)))

    finished = [answer for answer in answers if SESSION in "".join(answer.headers.get_list("set-cookie"))]
    assert len(finished) <= 1
    assert rows_of(site)["sessions"] == sessions + len(finished)


def test_cookie_of_another_login_finishes_nothing(site: Site) -> None:
    login, other = come_back(site), come_back(site)
    (name,), (value,) = login.cookies, other.cookies.values()

    refuse(site, login.address, {name: value})
    refuse(site, login.address, other.cookies)
    refuse(site, login.with_query(state=login.state[:8] + other.state[8:]), login.cookies)
    assert finish(site, login.address, login.cookies).status_code == 303
    assert finish(site, other.address, other.cookies).status_code == 303


def test_login_by_one_provider_is_finished_by_no_other(site: Site) -> None:
    login = come_back(site)

    refuse(site, login.with_query(path="/auth/second/callback"), login.cookies)
    assert finish(site, login.address, login.cookies).status_code == 303


def test_cookie_that_is_changed_finishes_nothing(site: Site) -> None:
    login = come_back(site)
    ((name, value),) = login.cookies.items()
    middle = len(value) // 2
    damaged = [
        "",
        value[:-4],
        value[4:],
        value + "AAAA",
        value[:middle] + ("B" if value[middle] == "A" else "A") + value[middle + 1 :],
        "A" * len(value),
        "A" * 3900,
        "%00",
    ]
    for text in damaged:
        refuse(site, login.address, {name: text})
    assert finish(site, login.address, login.cookies).status_code == 303


def test_login_that_took_too_long_is_not_finished(site: Site) -> None:
    login = come_back(site)
    (name,) = login.cookies
    key, now_ms = load_or_make(site.registry.data / "keys").upload, system_clock()
    content = browser_logins.unseal(key, "sso", login.state, login.cookies[name], now_ms)
    assert content is not None
    late = BrowserLogin(content.nonce, content.verifier, content.redirect_uri, content.return_to, now_ms - 1)

    assert "too long" in refuse(site, login.address, {name: browser_logins.seal(key, "sso", login.state, late)})
    assert finish(site, login.address, login.cookies).status_code == 303


def test_what_was_sealed_for_uploads_and_logins_is_not_taken_for_the_other(site: Site) -> None:
    login = come_back(site)
    ((name, value),) = login.cookies.items()
    with site.registry.client() as pusher:
        begun = pusher.post("/v2/acme/app/blobs/uploads/")
        address = urlsplit(begun.headers["location"]).path
        assert pusher.get(address).status_code == 204
        assert pusher.get(f"/v2/acme/app/blobs/uploads/{value}").status_code == 404

    refuse(site, login.address, {name: address.rpartition("/")[2]})


def test_cookie_tells_nothing_and_is_small(site: Site) -> None:
    target = "/" + '"' * 999
    with site.client() as client:
        started = client.get("/auth/sso/login", params={"return_to": target})
        assert client.get("/auth/sso/login", params={"return_to": target + "x"}).status_code == 400
    (cookie,) = started.headers.get_list("set-cookie")
    assert len(cookie) < COOKIE_BYTES_MAX
    assert cookie.partition("=")[2].partition(";")[0].replace("-", "").replace("_", "").isalnum()

    login = come_back(site, target)
    assert finish(site, login.address, login.cookies).headers["location"] == target


def test_page_that_begins_many_logins_does_not_fill_the_browser(site: Site) -> None:
    """A browser that sent more cookies than servers take could not sign in until they are forgotten."""
    with site.provider.browser() as browser:
        before = site.back(browser, return_to="/before")
        for _ in range(10):
            browser.get(f"{site.registry.url}/auth/sso/login", params={"return_to": "/" + "a" * 999})
            kept = [cookie for cookie in browser.cookies.jar if cookie.name.startswith(LOGIN_COOKIE)]
            assert sum(len(f"{cookie.name}={cookie.value}; ") for cookie in kept) < HEADER_BYTES_MAX

        assert browser.get(before).status_code == 400
        assert site.sign_in(browser, return_to="/after").headers["location"] == "/after"


def test_logins_in_many_tabs_are_finished_each(site: Site) -> None:
    with site.provider.browser() as browser:
        tabs = [site.back(browser, return_to=f"/{number}") for number in range(8)]

        assert [browser.get(tab).headers["location"] for tab in tabs] == [f"/{number}" for number in range(8)]


# On a device.


def test_strangers_device_logins_are_few_and_the_provider_is_not_asked_for_more(site: Site) -> None:
    before = site.provider.requests(DEVICE_PATH)
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda number: begin(site, STRANGER, ("sso", "second")[number % 2]), range(40)))

    assert sum(answer.status_code == 200 for answer in answers) == PER_ADDRESS
    assert site.provider.requests(DEVICE_PATH) == before + PER_ADDRESS
    for refused in (answer for answer in answers if answer.status_code != 200):
        assert refused.status_code == 429, refused.text
        error = refused.json()["errors"][0]
        assert (error["code"], "from your address" in error["message"]) == ("TOOMANYREQUESTS", True)
        assert 1 <= int(refused.headers["retry-after"]) <= 1800

    # And nobody else is kept waiting.
    shown = begin(site, PERSON)
    assert shown.status_code == 200
    with site.provider.browser() as browser:
        assert site.sign_in(browser).status_code == 303


def test_many_strangers_device_logins_are_few_and_people_sign_in_by_a_browser(site: Site) -> None:
    before = site.provider.requests(DEVICE_PATH)
    answers = [begin(site, f"192.0.2.{number}") for number in range(20)]

    assert sum(answer.status_code == 200 for answer in answers) == IN_ALL
    assert site.provider.requests(DEVICE_PATH) == before + IN_ALL
    refused = begin(site, PERSON)
    assert (refused.status_code, "sign in with a browser" in refused.text) == (429, True)
    with site.provider.browser() as browser:
        assert site.sign_in(browser).status_code == 303


def test_device_login_that_ends_makes_room(site: Site) -> None:
    shown = [begin(site, STRANGER).json() for _ in range(PER_ADDRESS)]
    assert begin(site, STRANGER).status_code == 429
    with site.provider.browser() as browser, site.client() as device:
        site.provider.refuse_device(browser, shown[0]["verification_uri_complete"])
        answer = device.post("/auth/sso/device/token", data={"device_code": shown[0]["device_code"]})
        assert answer.json()["error"] == "access_denied"

        assert begin(site, STRANGER).status_code == 200
        assert begin(site, STRANGER).status_code == 429


def test_device_that_asks_many_times_at_once_has_the_provider_asked_once(site: Site) -> None:
    code = begin(site, STRANGER).json()["device_code"]
    before = site.provider.requests("/token")

    def ask(_: int) -> str:
        with site.client() as device:
            error: str = device.post("/auth/sso/device/token", data={"device_code": code}).json()["error"]
            return error

    with ThreadPoolExecutor(8) as threads:
        answers = sorted(threads.map(ask, range(8)))

    assert answers == ["authorization_pending"] + ["slow_down"] * 7
    assert site.provider.requests("/token") == before + 1


def test_command_line_says_that_there_are_too_many(site: Site, tmp_path: Path) -> None:
    # As the proxy itself, which is an address as any other.
    while begin(site, "127.0.0.1").status_code == 200:
        pass

    environment = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "COLUMNS": "200"}
    refused = run([PROGRAM, "login", site.registry.url, "--sso", "sso"], environment=environment, succeeds=False)

    assert "from your address" in refused.stdout + refused.stderr
