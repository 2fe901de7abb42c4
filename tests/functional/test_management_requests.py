"""The management API as HTTP: whatever is sent is answered as a problem, with an id to refer to."""

import json
import socket
from collections.abc import Iterator

import httpx
import pytest

from tests.functional.accounts import audited, new_name
from tests.functional.people import People
from tests.functional.setups import SetUp

ROLES = "/api/v1/roles"
BODY_BYTES_MAX = 1024 * 1024
DEPLOYER = {"description": "Deploys.", "permissions": ["repository:pull"]}


@pytest.fixture(scope="module")
def api(people: People) -> Iterator[httpx.Client]:
    yield people.admin
    people.admin.delete(f"{ROLES}/deployer")


def problem(answer: httpx.Response, status: int) -> dict[str, object]:
    """What went wrong, in the form that it has to have."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]
    assert answer.headers["cache-control"] == "no-store"
    found: dict[str, object] = answer.json()
    assert found["status"] == status
    assert {"title", "detail", "code"} <= set(found)
    return found


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "application/json"),
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"null", "application/json"),
        (b'"role"', "application/json"),
        (b"\xff\xfe", "application/json"),
        (b'{"permissions": ["\\ud800"]}', "application/json"),
        (b'{"permissions": ["repository:pull"], "description": "\\ud800"}', "application/json"),
        (b'{"permissions": ["repository:pull"], "description": "\\u0000"}', "application/json"),
        (b'{"permissions": ["repository:pull"], "description": "' + b"a" * 256 + b'"}', "application/json"),
        (b'{"permissions": ["repository:pull"], "built_in": true}', "application/json"),
        (b'{"permissions": "repository:pull"}', "application/json"),
        (b'{"permissions": []}', "application/json"),
        (b'{"permissions": [' + b"[" * 50_000 + b"]}", "application/json"),
        (b'{"permissions": ' + b"9" * 5000 + b"}", "application/json"),
        (json.dumps(DEPLOYER).encode(), "text/plain"),
        (json.dumps(DEPLOYER).encode(), "application/x-www-form-urlencoded"),
        (b"permissions=repository:pull", "application/x-www-form-urlencoded"),
        (b"--x\r\n\r\n--x--", "multipart/form-data; boundary=x"),
    ],
    ids=str,
)
def test_body_that_is_none_is_refused(api: httpx.Client, body: bytes, content_type: str) -> None:
    answer = api.put(f"{ROLES}/deployer", content=body, headers={"content-type": content_type})

    problem(answer, answer.status_code)
    assert answer.status_code in {400, 422}


@pytest.mark.parametrize("chunked", [False, True])
def test_body_that_is_too_large_is_refused_and_the_connection_closed(api: httpx.Client, chunked: bool) -> None:
    body = json.dumps({**DEPLOYER, "description": "a" * BODY_BYTES_MAX}).encode()
    content = (body[at : at + 65536] for at in range(0, len(body), 65536)) if chunked else body

    answer = api.put(f"{ROLES}/deployer", content=content, headers={"content-type": "application/json"})

    problem(answer, 413)
    assert answer.headers["connection"] == "close"


def test_what_is_left_of_a_refused_body_is_not_taken_for_a_request(set_up: SetUp) -> None:
    """The credentials are wrong, so the body is not read: what it says must not be done."""
    inner = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    head = (
        f"PUT {ROLES}/deployer HTTP/1.1\r\nHost: x\r\nAuthorization: Basic bm9ib2R5Om5vYm9keQ==\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(inner) + 10}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", set_up.server.port), timeout=30) as connection:
        connection.sendall(head.encode() + inner)
        received = b""
        while piece := connection.recv(65536):
            received += piece

    assert received.startswith(b"HTTP/1.1 401")
    assert received.count(b"HTTP/1.1") == 1
    assert b"connection: close" in received.lower()


@pytest.mark.parametrize("method", ["HEAD", "POST", "PATCH", "TRACE"])
def test_other_methods_are_refused(api: httpx.Client, method: str) -> None:
    answer = api.request(method, ROLES)

    assert answer.status_code == 405
    assert "GET" in answer.headers["allow"]
    if method != "HEAD":
        problem(answer, 405)


@pytest.mark.parametrize("path", ["/api/v1/", "/api/v1/nothing", "/api/v2/roles", "/api/v1/roles/", "/api/v1//roles"])
def test_other_paths_are_not_there(api: httpx.Client, path: str) -> None:
    problem(api.get(path), 404)


@pytest.mark.parametrize("name", ["nobody", "a" * 64, "%00", "%2e%2e", "a%2Fb", "%ff", "a%0d%0aset-cookie:x", "%C3%A4"])
def test_role_of_any_other_name_is_not_there(api: httpx.Client, name: str) -> None:
    answer = api.get(f"{ROLES}/{name}")

    problem(answer, answer.status_code)
    assert answer.status_code in {400, 404, 422}
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("given", ["abc123", "A" * 64, "3d9f2c1e-7a8b-4c5d-9e0f-112233445566"])
def test_id_that_a_request_came_with_is_recorded_beside_ours(set_up: SetUp, api: httpx.Client, given: str) -> None:
    name = new_name("role")
    path = f"{ROLES}/{name}"
    answer = api.put(path, headers={"x-request-id": given}, json={"permissions": ["repository:pull"]})
    ours = answer.headers["x-request-id"]
    assert ours != given
    recorded = [(record["request_id"], record["client_request_id"]) for record in audited(set_up, f"role:{name}")]
    assert recorded == [(ours, given)]


@pytest.mark.parametrize("given", ["", "a b", "a" * 65, "a\tb", '"', "../x"])
def test_request_with_an_odd_id_gets_another(api: httpx.Client, given: str) -> None:
    ids = [api.get(ROLES, headers={"x-request-id": given}).headers["x-request-id"] for _ in range(2)]

    assert len({*ids, given}) == 3


def test_nobody_is_told_to_sign_in_first(anybody: httpx.Client) -> None:
    for answer in (anybody.get(ROLES), anybody.put(f"{ROLES}/deployer", json=DEPLOYER), anybody.get("/api/v1/users")):
        problem(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer ")


@pytest.mark.parametrize("cookie", ["session=x", "entrepot_session=admin", "a" * 4000, "=;=;", "\xff"])
def test_cookies_that_are_nobodys_make_nobody_somebody(anybody: httpx.Client, cookie: str) -> None:
    headers = {"cookie": cookie.encode("latin-1")}
    for path in (ROLES, "/v2/", "/v2/_catalog"):
        assert anybody.get(path, headers=headers).status_code == 401  # type: ignore[arg-type]


def test_body_that_stops_is_given_up(set_up: SetUp, people: People) -> None:
    request = people.admin.build_request("PUT", f"{ROLES}/deployer", json=DEPLOYER)
    assert people.admin.auth is not None
    authorization = next(people.admin.auth.auth_flow(request)).headers["authorization"]
    head = (
        f"PUT {ROLES}/deployer HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    with socket.create_connection(("127.0.0.1", set_up.server.port), timeout=30) as connection:
        connection.sendall(head.encode())
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    assert people.admin.get(f"{ROLES}/deployer").status_code == 404
