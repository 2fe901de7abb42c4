"""Secrets, sent through every door there is, and then looked for in all that the registry writes down for others."""

import base64
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.functional.people import People, Person, people_of
from tests.functional.repository import LARGE_BYTES, Repository, digest_of, noise
from tests.functional.setups import ALONE, SHARED, SetUp, alone, shared

MARK = "Zq7planted"
"""Part of every secret that the test itself chooses."""
_NOBODY = httpx.Auth()
AUDIT_TABLES = ("audit_pending", "audit_records", "audit_chain", "audit_heads", "audit_segments", "audit_cursors")
OTHER_TABLES = ("login_failures", "changes", "grants", "groups", "tokens", "users", "sessions", "uploads")


@pytest.fixture(scope="module", params=[ALONE, SHARED])
def own_set_up(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SetUp]:
    directory = tmp_path_factory.mktemp(request.param)
    if request.param == ALONE:
        with alone(directory) as started:
            yield started
        return
    with shared(directory, request.getfixturevalue("postgresql"), request.getfixturevalue("seaweedfs")) as started:
        yield started


@pytest.fixture(scope="module")
def planted(own_set_up: SetUp) -> set[str]:
    """Every secret that was sent or received."""
    with people_of(own_set_up) as people:
        secrets = {own_set_up.server.password} | _plant(own_set_up, people)
    # What is written at the end is written, too.
    own_set_up.server.stop()
    assert all(len(secret) >= 20 for secret in secrets), secrets
    return secrets


def _plant(set_up: SetUp, people: People) -> set[str]:
    admin = people.admin
    alice = people.with_role("developer", "namespace", "planted")
    personal = _password_of(people.limited(alice, ("*", "registry", "")))
    robot = _password_of(people.robot("planted-robot"))
    found = {personal, robot} | _management(admin, alice)
    with set_up.server.client(anonymous=True) as nobody:
        found |= _tokens(nobody, (alice.name, personal))
        found |= _tokens(nobody, (set_up.server.username, set_up.server.password))
    found |= _uploads(Repository(alice.client, "planted/app"))
    # Last, as after these nobody is let in from here for a while.
    found |= _wrong_logins(admin, alice.name, personal, robot)
    return found


def _password_of(client: httpx.Client) -> str:
    assert client.auth is not None
    request = next(client.auth.auth_flow(client.build_request("GET", "/")))
    encoded = request.headers["authorization"].removeprefix("Basic ")
    return base64.b64decode(encoded).decode().partition(":")[2]


def _wrong_logins(admin: httpx.Client, name: str, *tokens: str) -> set[str]:
    wrong = [f"{MARK}-password-{number}-0123456789" for number in range(4)]
    forged = "eyJhbGciOiJFZERTQSJ9." + MARK + "claims0123456789" + "." + MARK + "signature0123456789"
    for path in ("/v2/", "/v2/_catalog", "/v2/planted/app/tags/list", "/token", "/api/v1/roles", "/nowhere"):
        admin.get(path, auth=(name, wrong[0]))
        admin.get(path, auth=(f"nobody-{MARK}", wrong[1]))
        for header in (f"Bearer {forged}", f"Basic {wrong[2]}", f"Digest {wrong[3]}", wrong[3]):
            admin.get(path, headers={"authorization": header}, auth=_NOBODY)
        for token in tokens:
            # A token with another's name, as the name, damaged, and as a bearer token where none helps.
            admin.get(path, auth=("somebody-else", token))
            admin.get(path, auth=(token, wrong[0]))
            admin.get(path, auth=(name, token[:-1] + "_"))
            admin.get(path, headers={"authorization": f"Bearer {token}"}, auth=_NOBODY)
    return {*wrong, forged}


def _tokens(nobody: httpx.Client, credentials: tuple[str, str]) -> set[str]:
    """Bearer and refresh tokens, used rightly and wrongly."""
    query = {"scope": "repository:planted/app:pull,push", "offline_token": "true", "service": "entrepot"}
    first = nobody.get("/token", params=query, auth=credentials).json()
    form = {"grant_type": "password", "username": credentials[0], "password": credentials[1], "access_type": "offline"}
    second = nobody.post("/token", data=form).json()
    third = nobody.post(
        "/token", data={"grant_type": "refresh_token", "refresh_token": first["refresh_token"], "scope": query["scope"]}
    ).json()
    wrong_secret = f"{MARK}-in-a-form-0123456789"
    nobody.post("/token", data={**form, "password": wrong_secret})
    nobody.post("/token", data={"grant_type": "refresh_token", "refresh_token": wrong_secret})
    nobody.post("/token", data={"grant_type": "client_credentials", "client_secret": wrong_secret})
    nobody.post("/token", content=wrong_secret, headers={"content-type": "application/json"})
    for token in (first["token"], second["access_token"], third["token"]):
        for path in ("/v2/", "/v2/planted/app/tags/list", "/token", "/api/v1/roles", "/v2/other/app/manifests/v1"):
            nobody.get(path, headers={"authorization": f"Bearer {token}"})
        nobody.get("/v2/", headers={"authorization": f"Bearer {token[:-4]}abcd"})
        nobody.get("/v2/", auth=(credentials[0], token))
    nobody.get("/v2/", auth=(credentials[0], first["refresh_token"]))
    return {wrong_secret, first["refresh_token"], second["refresh_token"]} | {
        answer["token"].rpartition(".")[2] for answer in (first, second, third)
    }


def _uploads(repository: Repository) -> set[str]:
    """Seals of upload addresses, and the signed address of a large blob."""
    address = repository.new_upload()
    repository.send(address, b"some bytes")
    repository.client.get(address)
    repository.finish(address, digest_of(b"others"))
    cancelled = repository.new_upload()
    repository.client.delete(cancelled)
    repository.client.delete(cancelled)
    large = noise(LARGE_BYTES)
    repository.push_blob(large)
    image = repository.push_image("v1")
    repository.manifest("v1")
    signed = repository.blob(digest_of(large)).headers.get("location")
    repository.delete_manifest(image.digest)
    seals = {where.rpartition(".")[2] for where in (address, cancelled)}
    return seals | ({signed.partition("Signature=")[2]} if signed else set())


def _management(admin: httpx.Client, person: Person) -> set[str]:
    """What the API is given and gives."""
    old, new, other = (f"{MARK}-{word}-password-0123" for word in ("first", "second", "refused"))
    users = "/api/v1/users"
    assert admin.put(f"{users}/local/planted-user", json={"password": old}).is_success
    with_old = httpx.BasicAuth("planted-user", old)
    admin.put(f"{users}/local/planted user", json={"password": other})
    admin.put(f"{users}/local/planted-user", json={"password": other, "extra": other})
    admin.put(f"{users}/local/planted-user", content=other, headers={"content-type": "text/plain"})
    admin.put(f"{users}/local/planted-user", json={"password": [other]})
    admin.post(f"{users}/import-htpasswd", json={"text": f"planted-user:{other}\n{other}"})
    made = admin.post("/api/v1/account/tokens", json={"name": "planted"}, auth=with_old)
    assert made.status_code == 201, made.text
    rotated = admin.post(f"/api/v1/account/tokens/{made.json()['token']['id']}/rotate", json={}, auth=with_old)
    admin.put("/api/v1/account/password", json={"current": other, "new": new}, auth=with_old)
    assert admin.put("/api/v1/account/password", json={"current": old, "new": new}, auth=with_old).is_success
    admin.get("/api/v1/roles", params={"token": f"{MARK}-in-a-query-0123456789"})
    person.client.get("/api/v1/users")
    texts = {text for answer in (made, rotated) for text in _texts(answer) if text.startswith("entrepot_")}
    assert len(texts) == 2, (made.text, rotated.text)
    return {old, new, other, f"{MARK}-in-a-query-0123456789"} | texts


def _texts(answer: httpx.Response) -> list[str]:
    return [value for value in answer.json().values() if isinstance(value, str)]


def test_log_has_no_secret(own_set_up: SetUp, planted: set[str]) -> None:
    text = own_set_up.server.log_path.read_text(errors="replace")

    assert '"path":"/v2/planted/app/blobs/uploads/' in text
    assert _found(planted, text) == {}


def test_audit_log_has_no_secret(own_set_up: SetUp, planted: set[str]) -> None:
    rows = _rows(own_set_up, AUDIT_TABLES)

    for action in ("login:password", "login:token", "login:refresh", "token:issue", "blob:push", "manifest:pull"):
        assert action in rows
    assert _found(planted, rows) == {}


def test_database_has_no_secret(own_set_up: SetUp, planted: set[str]) -> None:
    assert _found(planted, _rows(own_set_up, OTHER_TABLES)) == {}


def test_exported_records_have_no_secret(own_set_up: SetUp, planted: set[str], tmp_path: Path) -> None:
    own_set_up.command("audit", "export", "--output", str(tmp_path / "export.jsonl"))
    text = (tmp_path / "export.jsonl").read_text()

    assert len([line for line in text.splitlines() if json.loads(line)["type"] == "record"]) > 20
    assert _found(planted, text) == {}


def _found(secrets: set[str], text: str) -> dict[str, str]:
    """Those that are there, with what is around."""
    places = {secret: text.find(secret) for secret in secrets}
    return {secret: text[max(0, at - 200) : at + 100] for secret, at in places.items() if at >= 0}


def _rows(set_up: SetUp, tables: tuple[str, ...]) -> str:
    """All that is in the tables, as text."""
    if set_up.name == SHARED:
        url = json.loads(set_up.config.read_text().splitlines()[1].partition("=")[2])
        with psycopg.connect(url.replace("postgresql+psycopg", "postgresql")) as postgresql:
            return _all(lambda table: postgresql.execute(f"SELECT * FROM {table}".encode()).fetchall(), tables)
    with closing(sqlite3.connect(set_up.server.data / "entrepot.db")) as sqlite:
        return _all(lambda table: sqlite.execute(f"SELECT * FROM {table}").fetchall(), tables)


def _all(read: Callable[[str], list[tuple[object, ...]]], tables: tuple[str, ...]) -> str:
    return "\n".join(str(row) for table in tables for row in read(table))
