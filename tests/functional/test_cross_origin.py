"""Pages of another origin in a browser: those that are allowed call with a token, and nobody's cookie is theirs."""

from collections.abc import Iterator

import httpx
import pytest

from tests.functional.repository import Repository, code_of, pages
from tests.peers.entrepot import Entrepot

UI, STRANGER = "https://ui.example.test", "https://stranger.example.test"
PATHS = {
    "/v2/": "GET, HEAD, OPTIONS",
    "/v2/_catalog": "GET, OPTIONS",
    "/v2/team/app/manifests/v1": "DELETE, GET, HEAD, OPTIONS, PUT",
    "/v2/team/app/blobs/uploads/": "OPTIONS, POST",
    "/token": "GET, OPTIONS, POST",
    "/api/v1/repositories": "GET, OPTIONS",
    "/api/v1/users/local/alice": "DELETE, GET, OPTIONS, PATCH, PUT",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entrepot]:
    config = f'[server]\nallowed_origins = ["{UI}"]\n'
    with Entrepot(tmp_path_factory.mktemp("origins"), config=config) as started:
        yield started
    started.remove_data()


@pytest.fixture
def browser(server: Entrepot) -> Iterator[httpx.Client]:
    """Without credentials, as it asks before a page may."""
    with server.client(anonymous=True) as client:
        yield client


def preflight(client: httpx.Client, path: str, origin: str, method: str = "GET") -> httpx.Response:
    asked = {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization",
    }
    return client.options(path, headers=asked)


def of_cors(answer: httpx.Response) -> set[str]:
    return {name for name in answer.headers if name.startswith("access-control-")}


def words(answer: httpx.Response, header: str) -> set[str]:
    return {word.strip().lower() for word in answer.headers[header].split(",")}


@pytest.mark.parametrize("path", PATHS)
def test_browser_is_told_what_a_page_that_is_allowed_may_do(browser: httpx.Client, path: str) -> None:
    answer = preflight(browser, path, UI)

    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == UI
    assert answer.headers["access-control-allow-methods"] == PATHS[path]
    assert {"authorization", "content-type", "range", "if-match", "if-none-match"} <= words(
        answer, "access-control-allow-headers"
    )
    assert int(answer.headers["access-control-max-age"]) > 0
    assert answer.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("origin", [STRANGER, "null", f"{UI}.evil.test", "http://ui.example.test", UI.upper(), "", "*"])
def test_page_of_another_origin_is_told_nothing(browser: httpx.Client, path: str, origin: str) -> None:
    for answer in (preflight(browser, path, origin), browser.get(path, headers={"origin": origin})):
        assert of_cors(answer) == set()
        assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("path", PATHS)
def test_options_without_an_origin_say_what_the_path_answers(browser: httpx.Client, path: str) -> None:
    answer = browser.options(path)

    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["allow"] == PATHS[path]
    assert of_cors(answer) == set()


@pytest.mark.parametrize("path", ["/v2/nothing", "/api/v1/nothing", "/nothing"])
def test_options_of_what_is_not_there_are_not_there(browser: httpx.Client, path: str) -> None:
    assert browser.options(path).status_code == 404
    assert preflight(browser, path, UI).status_code == 404


def test_page_that_is_allowed_signs_in_pulls_and_reads_all_headers(server: Entrepot, browser: httpx.Client) -> None:
    with server.client() as admin:
        repository = Repository(admin, "pages/app")
        for tag in ("v1", "v2"):
            pushed = repository.push_image(tag)
    browser.headers["origin"] = UI
    refused = browser.get("/v2/pages/app/manifests/v2")
    assert refused.status_code == 401
    assert "www-authenticate" in words(refused, "access-control-expose-headers")
    asked = {"service": "entrepot", "scope": "repository:pages/app:pull,push"}
    token = browser.get("/token", params=asked, auth=(server.username, server.password))
    assert token.headers["access-control-allow-origin"] == UI
    browser.headers["authorization"] = f"Bearer {token.json()['token']}"

    theirs = Repository(browser, "pages/app")
    answers = [
        theirs.manifest("v2"),
        theirs.tags(n=1),
        theirs.start_upload(),
        theirs.referrers(pushed.digest, artifactType="a/b"),
        theirs.manifest("none"),
        browser.get("/api/v1/account", auth=(server.username, server.password)),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 202, 200, 404, 200]
    assert len(pages(browser, answers[1])) == 2
    seen = {"docker-content-digest", "link", "location", "oci-filters-applied", "etag"}
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == UI
        assert answer.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in answer.headers
        assert seen | {"oci-subject", "retry-after"} <= words(answer, "access-control-expose-headers")
        seen -= set(answer.headers)
    assert seen == set()


def test_cookie_lets_no_page_of_another_origin_do_anything(server: Entrepot, browser: httpx.Client) -> None:
    """Not even of one that is allowed: it has to show who it is itself."""
    signed_in = browser.post("/auth/login", data={"username": server.username, "password": server.password})
    assert signed_in.status_code == 303
    answer = browser.post("/v2/pages/other/blobs/uploads/", headers={"origin": UI, "sec-fetch-site": "cross-site"})

    assert (answer.status_code, code_of(answer)) == (403, "DENIED")


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/metrics"])
def test_what_is_no_programs_matter_is_told_to_no_other_origin(browser: httpx.Client, path: str) -> None:
    assert of_cors(browser.get(path, headers={"origin": UI})) == set()
    assert of_cors(preflight(browser, path, UI)) == set()


def test_no_origin_is_allowed_by_default(anybody: httpx.Client) -> None:
    for path in PATHS:
        for answer in (preflight(anybody, path, UI), anybody.get(path, headers={"origin": UI})):
            assert of_cors(answer) == set()
            assert "vary" not in answer.headers
        assert preflight(anybody, path, UI).status_code == 204
