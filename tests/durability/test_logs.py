"""What the server writes: JSON that can be joined with what clients saw, and no secret."""

import json
import random
import secrets
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.durability.disks import memory_disk
from tests.durability.exchange import Answer, Connection, request
from tests.durability.pushes import make_image, push_at_once, push_image, put_manifest
from tests.peers.entrepot import PROGRAM, Entrepot
from tests.peers.process import free_port

REPOSITORY = "durability/logs"
WAIT_SECONDS_MAX = 60
POLL_SECONDS = 0.05


class SplitEntrepot(Entrepot):
    """Writes its standard output and its standard error to files of their own, as a container engine would."""

    @property
    def output(self) -> Path:
        return self.directory / "output.log"

    def _build_server(self) -> Any:
        server = super()._build_server()
        server.command = [
            "sh",
            "-c",
            'output="$1"; shift; exec "$@" >"$output"',
            "sh",
            str(self.output),
            *server.command,
        ]
        return server


@pytest.fixture
def split(tmp_path: Path) -> Iterator[SplitEntrepot]:
    registry = SplitEntrepot(tmp_path / "entrepot")
    registry.start()
    yield registry
    if registry.server.started:
        registry.stop()
    registry.remove_data()


def _lines(registry: SplitEntrepot) -> list[dict[str, Any]]:
    return [json.loads(line) for line in registry.output.read_text().splitlines()]


def _ask_everything(registry: Entrepot) -> list[Answer]:
    """Requests of every kind, most of them wrong."""
    upload = f"/v2/{REPOSITORY}/blobs/uploads/"
    digest = f"sha256:{'0' * 64}"
    answers = []
    with Connection(registry) as connection:
        push_image(connection, REPOSITORY, "one", make_image(random.Random(1)))
        answers.append(put_manifest(connection, REPOSITORY, "bad", b"{"))
        answers.append(push_at_once(connection, "Bad//Name", b"x"))
    for method, path, body in (
        ("GET", "/v2/", b""),
        ("GET", "/nothing", b""),
        ("POST", "/v2/", b"x"),
        ("GET", f"/v2/{REPOSITORY}/tags/list", b""),
        ("GET", f"/v2/{REPOSITORY}/manifests/one", b""),
        ("HEAD", f"/v2/{REPOSITORY}/manifests/none", b""),
        ("GET", f"/v2/{REPOSITORY}/blobs/{digest}", b""),
        ("GET", f"/v2/{REPOSITORY}/blobs/sha256:short", b""),
        ("POST", f"{upload}?digest={digest}", b"not that"),
        ("PATCH", f"{upload}made-up", b"x"),
        ("GET", "/v2/_catalog?n=-1", b""),
        ("GET", "/healthz", b""),
        ("GET", "/readyz", b""),
        ("GET", "/metrics", b""),
        ("BREW", "/v2/", b""),
    ):
        answers.append(request(registry, method, path, body))
    return answers


def test_every_reply_has_a_request_id_and_a_line_in_the_log(split: SplitEntrepot) -> None:
    answers = _ask_everything(split)
    anonymous = [
        httpx_answer(split, "GET", "/v2/", {}),
        httpx_answer(split, "GET", "/v2/", {"Authorization": "Basic !!!"}),
        httpx_answer(split, "GET", "/token?scope=repository:a:pull", {}),
    ]
    statuses = {answer.status for answer in answers} | {status for status, _ in anonymous}
    assert {200, 400, 401, 404, 405} <= statuses
    ids = [answer.headers["x-request-id"] for answer in answers] + [request_id for _, request_id in anonymous]
    assert len(set(ids)) == len(ids)
    split.stop()
    logged = {line["request_id"]: line for line in _lines(split) if "request_id" in line and "status" in line}
    for answer in answers:
        line = logged[answer.headers["x-request-id"]]
        assert line["status"] == answer.status
        assert {"time", "method", "path", "user", "client", "milliseconds", "sent_bytes"} <= set(line)
    assert set(ids) <= set(logged)


def httpx_answer(registry: Entrepot, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
    """Status and request id of a request without our credentials."""
    with registry.client(anonymous=True) as client:
        answer = client.request(method, path, headers=headers)
        return answer.status_code, answer.headers["x-request-id"]


def test_request_id_of_a_proxy_is_logged_beside_ours_if_it_is_one(split: SplitEntrepot) -> None:
    expected = {}
    for given, kept in (("abc123DEF", True), ("a" * 64, True), ("a" * 65, False), ('"},{', False), ("", False)):
        answer = request(split, "GET", "/v2/", headers={"X-Request-Id": given, "User-Agent": "x" * 4000})
        expected[answer.headers["x-request-id"]] = given if kept else None
    assert len(expected) == 5
    split.stop()
    logged = {line["request_id"]: line for line in _lines(split) if line.get("request_id") in expected}
    assert {request_id: line["client_request_id"] for request_id, line in logged.items()} == expected
    # Whoever sends a lot does not fill the disk with it.
    assert {len(line["user_agent"]) for line in logged.values()} == {512}


def test_output_is_one_json_object_a_line_whatever_is_asked(split: SplitEntrepot) -> None:
    _ask_everything(split)
    for agent in ('quote " backslash \\ ', "tab\tand more", "\x7f\xe9", "{" * 100):
        request(split, "GET", "/v2/", headers={"User-Agent": agent})
    request(split, "GET", '/v2/%0a{"status":200}/tags/list')
    split.stop()
    assert len(_lines(split)) > 15
    assert all(isinstance(line, dict) and "time" in line for line in _lines(split))


def test_no_secret_is_in_the_log(tmp_path: Path) -> None:
    """Of a server that says all it can: passwords right and wrong, tokens, keys, addresses of uploads' owners."""
    registry = SplitEntrepot(tmp_path / "entrepot", config='[log]\nlevel = "debug"\n')
    registry.start()
    wrong, also_wrong, made_up = (secrets.token_urlsafe(24) for _ in range(3))
    planted = [wrong, also_wrong, made_up, registry.password]
    with registry.client(anonymous=True) as client:
        basic = client.get("/token", params={"service": "entrepot"}, auth=(registry.username, registry.password))
        token = basic.json()["token"]
        planted += [token, *token.split(".")]
        bearer = {"Authorization": f"Bearer {token}"}
        assert client.get("/v2/", headers=bearer).status_code == 200
        assert client.get("/v2/", auth=(registry.username, wrong)).status_code == 401
        client.get("/v2/", headers={"Authorization": f"Bearer {made_up}"})
        client.get("/v2/", headers={"Authorization": f"Bearer {token[:-4]}AAAA"})
        client.get("/v2/", headers={"Authorization": f"Strange {also_wrong}"})
        client.get("/token", params={"password": also_wrong, "access_token": made_up})
        form = {"grant_type": "password", "username": registry.username, "service": "entrepot", "client_id": "test"}
        client.post("/token", data={**form, "password": registry.password})
        client.post("/token", data={**form, "password": wrong})
        client.get(f"/v2/?access_token={made_up}", headers={"Cookie": f"session={made_up}"})
    _ask_everything(registry)
    planted += [b64encode(f"{registry.username}:{text}".encode()).decode() for text in (registry.password, wrong)]
    for key in (registry.data / "keys").iterdir():
        content = key.read_bytes()
        planted += [content.hex(), b64encode(content).decode()]
        planted += [line for line in content.decode("latin-1").splitlines() if len(line) > 40 and "---" not in line]
    registry.stop()
    written = registry.output.read_text() + registry.log_path.read_text()
    assert len(written.splitlines()) > 30
    assert [text for text in planted if text in written] == []
    assert "$argon2" not in written
    registry.remove_data()


def test_generated_password_is_shown_once_and_not_in_the_log(tmp_path: Path) -> None:
    command = [str(PROGRAM), "serve", "--data", str(tmp_path / "data"), "--workers", "1"]
    shown: list[str] = []
    for _ in range(2):
        port = free_port()
        with (tmp_path / "output").open("ab") as output, (tmp_path / "errors").open("wb") as errors:
            process = subprocess.Popen([*command, "--listen", f"127.0.0.1:{port}"], stdout=output, stderr=errors)
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while "docker push" not in (tmp_path / "errors").read_text():
            assert process.poll() is None, (tmp_path / "errors").read_text()
            assert time.monotonic() < deadline
            time.sleep(POLL_SECONDS)
        process.terminate()
        assert process.wait(WAIT_SECONDS_MAX) in {0, -15}
        shown += [line.split()[1] for line in (tmp_path / "errors").read_text().splitlines() if "password:" in line]
    assert len(shown) == 1
    assert len(shown[0]) >= 16
    assert shown[0] not in (tmp_path / "output").read_text()


def test_log_that_cannot_be_written_harms_no_request(tmp_path: Path) -> None:
    with memory_disk(tmp_path / "log", size_bytes=256 * 1024) as disk:

        class LogsToDisk(SplitEntrepot):
            @property
            def output(self) -> Path:
                return disk.path / "output.log"

        registry = LogsToDisk(tmp_path / "entrepot")
        registry.start()
        disk.fill()
        with Connection(registry) as connection:
            for number in range(300):
                assert connection.request("GET", "/v2/").status == 200
                if number % 100 == 0:
                    push_image(connection, REPOSITORY, f"tag-{number}", make_image(random.Random(number)))
        disk.free()
        marker = secrets.token_hex(8)
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while marker not in registry.output.read_text():
            assert request(registry, "GET", f"/v2/{marker}/tags/list").status == 404
            assert time.monotonic() < deadline
            time.sleep(POLL_SECONDS)
        registry.stop()
        registry.remove_data()
