"""Who may what: every route, asked by everybody there is, held against a table that is written by hand.

A route that is not in the table fails the test: whoever adds one says here whom it answers.
"""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

import httpx
import pytest

from entrepot.access.permissions import Permission
from entrepot.http.routes import ROUTES
from tests.peers.entrepot import PROGRAM, Entrepot
from tests.peers.process import run

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"

ASKING = ("anonymous", "wrong password", "token for another repository", "token to pull", "administrator")
"""The columns. The administrator is the last because what is deleted is gone."""
PRIVATE, PUBLIC = "private", "public"

Statuses = tuple[int, int, int, int, int]


def _same(*statuses: int) -> dict[str, Statuses]:
    """Whether the repository is public makes no difference, or there is none."""
    assert len(statuses) == len(ASKING)
    return {PRIVATE: statuses, PUBLIC: statuses}


PULL = {PRIVATE: (401, 401, 401, 200, 200), PUBLIC: (200, 401, 401, 200, 200)}

EXPECTED: dict[tuple[str, str], dict[str, Statuses]] = {
    ("GET", "/healthz"): _same(200, 401, 200, 200, 200),
    ("HEAD", "/healthz"): _same(200, 401, 200, 200, 200),
    ("GET", "/readyz"): _same(200, 401, 200, 200, 200),
    ("HEAD", "/readyz"): _same(200, 401, 200, 200, 200),
    ("GET", "/metrics"): _same(401, 401, 401, 401, 200),
    # A token is not traded for another one. The form has the administrator's password in it, whoever sends it.
    # No provider of this name is in the settings.
    ("GET", "/auth/{provider}/login"): _same(404, 401, 404, 404, 404),
    ("GET", "/auth/{provider}/callback"): _same(404, 401, 404, 404, 404),
    ("POST", "/auth/{provider}/backchannel-logout"): _same(404, 401, 404, 404, 404),
    ("POST", "/auth/{provider}/device"): _same(404, 401, 404, 404, 404),
    ("POST", "/auth/{provider}/device/token"): _same(404, 401, 404, 404, 404),
    ("GET", "/"): _same(200, 401, 200, 200, 200),
    ("HEAD", "/"): _same(200, 401, 200, 200, 200),
    # The form is empty, whoever sends it.
    ("POST", "/auth/login"): _same(401, 401, 401, 401, 401),
    ("POST", "/auth/logout"): _same(303, 401, 303, 303, 303),
    ("GET", "/token"): _same(200, 401, 401, 401, 200),
    ("POST", "/token"): _same(200, 401, 200, 200, 200),
    ("GET", "/v2/"): _same(401, 401, 200, 200, 200),
    ("HEAD", "/v2/"): _same(401, 401, 200, 200, 200),
    ("GET", "/v2/_catalog"): _same(401, 401, 401, 401, 200),
    ("GET", "/v2/{name}/tags/list"): PULL,
    ("GET", "/v2/{name}/referrers/{digest}"): PULL,
    ("GET", "/v2/{name}/manifests/{reference}"): PULL,
    ("HEAD", "/v2/{name}/manifests/{reference}"): PULL,
    ("PUT", "/v2/{name}/manifests/{reference}"): _same(401, 401, 401, 401, 201),
    ("DELETE", "/v2/{name}/manifests/{reference}"): _same(401, 401, 401, 401, 202),
    ("GET", "/v2/{name}/blobs/{digest}"): PULL,
    ("HEAD", "/v2/{name}/blobs/{digest}"): PULL,
    ("DELETE", "/v2/{name}/blobs/{digest}"): _same(401, 401, 401, 401, 202),
    ("POST", "/v2/{name}/blobs/uploads/"): _same(401, 401, 401, 401, 202),
    # The upload is the administrator's.
    ("GET", "/v2/{name}/blobs/uploads/{session}"): _same(401, 401, 401, 401, 204),
    ("HEAD", "/v2/{name}/blobs/uploads/{session}"): _same(401, 401, 401, 401, 204),
    ("PATCH", "/v2/{name}/blobs/uploads/{session}"): _same(401, 401, 401, 401, 202),
    ("PUT", "/v2/{name}/blobs/uploads/{session}"): _same(401, 401, 401, 401, 201),
    ("DELETE", "/v2/{name}/blobs/uploads/{session}"): _same(401, 401, 401, 401, 204),
}

FOR_EVERYBODY = {
    "/healthz",
    "/readyz",
    "/token",
    "/",
    "/auth/login",
    "/auth/{provider}/login",
    "/auth/{provider}/callback",
    "/auth/{provider}/backchannel-logout",
    "/auth/{provider}/device",
    "/auth/{provider}/device/token",
    "/auth/logout",
}

METHODS_AND_PATHS = [(method, route.path) for route in ROUTES for method in route.methods]


def test_routes_of_all_faces_are_in_the_table() -> None:
    assert sorted(METHODS_AND_PATHS) == sorted(EXPECTED)


def test_routes_for_everybody_are_those_named_here() -> None:
    assert {route.path for route in ROUTES if route.permission is Permission.PUBLIC} == FOR_EVERYBODY


@pytest.mark.parametrize(
    ("method", "path"), METHODS_AND_PATHS, ids=[f"{method} {path}" for method, path in METHODS_AND_PATHS]
)
@pytest.mark.parametrize("visibility", [PRIVATE, PUBLIC])
def test_route_asked_by_everybody_answers_as_the_table_says(
    server: Entrepot, admin: httpx.Client, visibility: str, method: str, path: str
) -> None:
    held = _push(admin, f"{visibility}/{secrets.token_hex(6)}")
    expected = EXPECTED[method, path][visibility]

    answered = {}
    with server.client(anonymous=True) as client:
        for asking in ASKING:
            headers = _authorization(server, admin, asking, held.name)
            answered[asking] = _ask(client, server, method, path, held, headers).status_code

    assert answered == dict(zip(ASKING, expected, strict=True))


@pytest.mark.parametrize("visibility", [PRIVATE, PUBLIC])
def test_repository_that_does_not_exist_is_not_told_from_a_private_one(server: Entrepot, visibility: str) -> None:
    """Without credentials: by the same answer for both, where the repository would be private."""
    with server.client(anonymous=True) as client:
        status = client.get(f"/v2/{visibility}/never-pushed/tags/list").status_code

    assert status == (401 if visibility == PRIVATE else 404)


@dataclass(frozen=True)
class Held:
    """A repository with an image, a blob that no image needs, and an upload that is not finished."""

    name: str
    image: bytes
    blob: str
    upload: str


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entrepot]:
    wrong_passwords = {"ENTREPOT_LOGIN_FAILURES_FREE": "100000"}
    with Entrepot(tmp_path_factory.mktemp("routes"), workers=1, environment=wrong_passwords) as started:
        run([PROGRAM, "namespace", "public", PUBLIC, "--data", started.data])
        yield started
    started.remove_data()


@pytest.fixture(scope="module")
def admin(server: Entrepot) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def _digest(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"


def _push(admin: httpx.Client, name: str) -> Held:
    uploads = f"/v2/{name}/blobs/uploads/"
    config, loose = secrets.token_bytes(100), secrets.token_bytes(100)
    for content in (config, loose):
        pushed = admin.post(uploads, params={"digest": _digest(content)}, content=content)
        assert pushed.status_code == 201, pushed.text
    descriptor = {"mediaType": CONFIG, "digest": _digest(config), "size": len(config)}
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor, "layers": []}
    image = json.dumps(document).encode()
    tagged = admin.put(f"/v2/{name}/manifests/latest", content=image, headers={"content-type": MANIFEST})
    assert tagged.status_code == 201, tagged.text
    started = admin.post(uploads)
    assert started.status_code == 202, started.text
    return Held(name, image, _digest(loose), started.headers["location"].rpartition("/")[2])


def _authorization(server: Entrepot, admin: httpx.Client, asking: str, name: str) -> dict[str, str]:
    if asking == "anonymous":
        return {}
    if asking == "wrong password":
        return _headers(httpx.BasicAuth(server.username, "wrong"))
    if asking == "administrator":
        return _headers(httpx.BasicAuth(server.username, server.password))
    scope = f"repository:{name}:pull" if asking == "token to pull" else "repository:other/repository:pull,push,delete"
    answer = admin.get("/token", params={"service": "entrepot", "scope": scope})
    assert answer.status_code == 200, answer.text
    return {"authorization": f"Bearer {answer.json()['token']}"}


def _headers(auth: httpx.BasicAuth) -> dict[str, str]:
    request = next(auth.auth_flow(httpx.Request("GET", "http://registry/")))
    return {"authorization": request.headers["authorization"]}


def _ask(
    client: httpx.Client, server: Entrepot, method: str, path: str, held: Held, headers: dict[str, str]
) -> httpx.Response:
    """A request that succeeds, if who asks may."""
    filled = path.format(name=held.name, provider="nobody", reference="latest", digest=held.blob, session=held.upload)
    query: dict[str, str] = {}
    content: bytes | None = None
    if (method, path) == ("POST", "/token"):
        form = {"grant_type": "password", "username": server.username, "password": server.password}
        return client.post(filled, data=form, headers=headers)
    if path == "/v2/{name}/manifests/{reference}" and method == "PUT":
        content, headers = held.image, {**headers, "content-type": MANIFEST}
    if path == "/v2/{name}/blobs/uploads/{session}" and method in {"PATCH", "PUT"}:
        content = b"the bytes of a blob"
        query = {"digest": _digest(content)} if method == "PUT" else {}
    return client.request(method, filled, params=query, content=content, headers=headers)
