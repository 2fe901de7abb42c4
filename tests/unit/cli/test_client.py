"""The client says what is wrong with an answer, whoever gave it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from entrepot.cli.client import ANSWER_BYTES_MAX, Client, Proof, is_open, parse_url, path_of
from entrepot.cli.errors import Changed, NotReachable, status_of
from entrepot.errors import Conflict, Denied, EntrepotError, Invalid, NotFound, RateLimited, Unauthenticated
from tests.peers.process import free_port


class Somebody(BaseHTTPRequestHandler):
    """Answers everything alike: `answer` is a status, headers and a body."""

    answer: tuple[int, dict[str, str], bytes] = (200, {}, b"")
    seen: list[tuple[str, str, dict[str, str]]]

    def do_GET(self) -> None:
        status, headers, body = self.answer
        self.seen.append((self.command, self.path, dict(self.headers)))
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_GET  # noqa: N815 (so called by the base class)
    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def answering(status: int, body: bytes = b"", **headers: str) -> Iterator[tuple[Client, type[Somebody]]]:
    handler = type("Handler", (Somebody,), {"answer": (status, headers, body), "seen": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            with Client(f"http://127.0.0.1:{server.server_port}", Proof(token="secret")) as client:
                yield client, handler
        finally:
            server.shutdown()
            thread.join()


def problem(detail: str) -> bytes:
    return json.dumps({"title": "-", "status": 0, "detail": detail}).encode()


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("registry.example", "https://registry.example"),
        ("registry.example:8443", "https://registry.example:8443"),
        ("https://Registry.example/", "https://registry.example"),
        ("http://registry.example", "http://registry.example"),
        ("127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("localhost:5000", "http://localhost:5000"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("https://127.0.0.1:5000", "https://127.0.0.1:5000"),
    ],
)
def test_address_is_encrypted_unless_it_is_of_this_machine(text: str, url: str) -> None:
    assert parse_url(text) == url


@pytest.mark.parametrize(
    "text",
    ["", "https://", "ftp://a", "https://a/team", "https://a?b", "a:b", "https://alice:secret@a", "https://[::1"],
)
def test_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refusal:
        parse_url(text)

    assert "secret" not in refusal.value.message


def test_addresses_that_others_can_listen_to_are_told() -> None:
    assert is_open("http://registry.example")
    assert not is_open("https://registry.example")
    assert not is_open("http://127.0.0.1:5000")


def test_names_are_encoded_in_paths() -> None:
    assert path_of("users", "corp", "a b?c#d%/é") == "/users/corp/a%20b%3Fc%23d%25/%C3%A9"


@pytest.mark.parametrize(
    ("status", "kind", "exit_status"),
    [
        (400, Invalid, 1),
        (401, Unauthenticated, 3),
        (403, Denied, 4),
        (404, NotFound, 5),
        (409, Conflict, 6),
        (412, Changed, 6),
        (422, Invalid, 1),
        (429, RateLimited, 1),
        (500, NotReachable, 7),
        (503, NotReachable, 7),
    ],
)
def test_refusal_is_told_in_the_registrys_words(status: int, kind: type[EntrepotError], exit_status: int) -> None:
    with answering(status, problem("the reason")) as (client, _), pytest.raises(kind, match="the reason") as refusal:
        client.get("/roles")

    assert status_of(refusal.value) == exit_status


def test_who_is_not_signed_in_is_told_how_to() -> None:
    with answering(401, problem("who are you")) as (client, _), pytest.raises(Unauthenticated, match="entrepot login"):
        client.get("/account")


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (200, b"<html>", {}),
        (404, b"<html>nothing", {}),
        (404, b"[]", {}),
        (502, b"<html>", {}),
        (301, b"", {"location": "https://elsewhere.example/api/v1/roles"}),
    ],
)
def test_somebody_who_is_no_registry_is_told(status: int, body: bytes, headers: dict[str, str]) -> None:
    with answering(status, body, **headers) as (client, _), pytest.raises(NotReachable):
        client.get("/roles")


def test_redirect_is_not_followed_with_the_token() -> None:
    with answering(200, b"{}") as (other, seen):
        location = f"{other.url}/api/v1/roles"
        with answering(307, location=location) as (client, _), pytest.raises(NotReachable, match=location):
            client.get("/roles")

    assert seen.seen == []


def test_nobody_is_told() -> None:
    with (
        Client(f"http://127.0.0.1:{free_port()}", Proof()) as client,
        pytest.raises(NotReachable, match="cannot reach") as refusal,
    ):
        client.get("/roles")

    assert status_of(refusal.value) == 7


def test_what_is_empty_is_not_asked_for() -> None:
    with answering(200, b"{}") as (client, server):
        client.get("/audit", actor="local:a b", action="", outcome=None)

    assert parse_qs(urlsplit(server.seen[0][1]).query) == {"actor": ["local:a b"]}


def test_change_is_for_what_was_read() -> None:
    with answering(200, b"{}", etag='"1"') as (client, server):
        found = client.ask("GET", "/robots/ci")
        client.put("/robots/ci", {}, tag=found.tag)

    assert found.tag == '"1"'
    assert {name.lower(): value for name, value in server.seen[1][2].items()}["if-match"] == '"1"'


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [(200, b'{"a": 1}', {"a": 1}), (400, b'{"error": "authorization_pending"}', {"error": "authorization_pending"})],
)
def test_form_is_answered_also_when_it_is_too_early(status: int, body: bytes, told: dict[str, object]) -> None:
    with answering(status, body) as (client, _):
        assert client.form("/auth/corp/device/token", {"device_code": "x"}) == (status, told)


def test_form_that_leads_elsewhere_is_sent_and_not_followed() -> None:
    with answering(303, location="https://elsewhere.example/") as (client, server):
        assert client.form("/auth/logout", {}) == (303, {})

    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "body",
    [problem("there is no provider"), b'{"errors": [{"code": "NAME_UNKNOWN", "message": "there is no provider"}]}'],
)
def test_form_for_a_provider_that_is_none_is_told(body: bytes) -> None:
    with answering(404, body) as (client, _), pytest.raises(NotFound, match="there is no provider"):
        client.form("/auth/nonesuch/device", {})


def test_names_of_tags_are_asked_for_as_long_as_there_are_more_here() -> None:
    page = json.dumps({"name": "team/app", "tags": ["v1"]}).encode()
    with answering(200, page, link='</v2/team/app/tags/list?last=v1>; rel="next"') as (client, somebody):
        names = client.tag_names("team/app")
        assert [next(names), next(names)] == ["v1", "v1"]
        names.close()  # type: ignore[attr-defined]
        assert [urlsplit(path).path for _, path, _ in somebody.seen] == ["/v2/team/app/tags/list"] * 2
    with answering(200, page, link='<http://127.0.0.2:9/v2/>; rel="next"') as (client, somebody):
        assert list(client.tag_names("team/app")) == ["v1"]
        assert len(somebody.seen) == 1
    with answering(200, json.dumps({"name": "team/app", "tags": None}).encode()) as (client, _):
        assert list(client.tag_names("team/app")) == []


@pytest.mark.parametrize("items", [[], [{"name": "again"}]])
def test_list_that_does_not_end_is_told(items: list[object]) -> None:
    body = json.dumps({"items": items, "next": "again"}).encode()
    with answering(200, body) as (client, handler), pytest.raises(NotReachable, match="does not end"):
        list(client.pages("/users"))
    assert len(handler.seen) <= 2


def test_answer_that_is_too_large_is_not_read_to_its_end() -> None:
    with answering(200, b" " * (ANSWER_BYTES_MAX + 1)) as (client, handler):
        with pytest.raises(NotReachable, match="larger than"):
            client.get("/users")
        assert len(handler.seen) == 1


@pytest.mark.parametrize("part", ["..", ".", "../../users/local/alice", "a/../b", "a/./b", "a/.."])
def test_name_that_leads_elsewhere_is_refused(part: str) -> None:
    with pytest.raises(Invalid, match="not a valid name"):
        path_of("account", "tokens", part)
