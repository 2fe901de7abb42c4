"""HTTP/2: the same answers as over HTTP/1.1, and an end to what is no HTTP/2."""

import json

import pytest

from tests.hostile import http2
from tests.hostile.http2 import HTTP2Connection, frame, request_fields
from tests.hostile.remains import remains
from tests.hostile.target import OCI_MANIFEST, Image, Target, sha256

REPOSITORY = "hostile/http2"


def _error(body: bytes) -> str:
    return str(json.loads(body)["errors"][0]["code"])


def test_http2_pulls_and_pushes(target: Target, image: Image) -> None:
    content = b"over http/2 " * 50_000
    with HTTP2Connection(target.port) as connection:
        path = f"/v2/{image.repository}/manifests/{image.tag}"
        answer = connection.ask(request_fields("GET", path, target.authorization))
        assert (answer.status, answer.body) == (200, image.payload)
        path = f"/v2/{REPOSITORY}/blobs/uploads/?digest={sha256(content)}"
        assert connection.ask(request_fields("POST", path, target.authorization), content).status == 201
    assert target.ask("GET", f"/v2/{REPOSITORY}/blobs/{sha256(content)}").body == content


def test_http2_request_that_is_bad_is_refused_as_over_http1(target: Target, image: Image, nothing_left: None) -> None:
    own = target.authorization
    with HTTP2Connection(target.port) as connection:
        for method, path, authorization, status, code in (
            ("GET", "/v2/", None, 401, "UNAUTHORIZED"),
            ("GET", "/v2/", "Bearer wrong", 401, "UNAUTHORIZED"),
            ("GET", "/v2/UPPER/manifests/a", own, 400, "NAME_INVALID"),
            ("GET", f"/v2/{image.repository}/blobs/sha256:0", own, 400, "DIGEST_INVALID"),
            ("GET", f"/v2/{image.repository}/manifests/nothing-here", own, 404, "MANIFEST_UNKNOWN"),
            ("BREW", "/v2/", own, 405, "UNSUPPORTED"),
            ("GET", "/nothing", own, 404, "NAME_UNKNOWN"),
        ):
            answer = connection.ask(request_fields(method, path, authorization))
            assert (answer.status, _error(answer.body)) == (status, code)
        path = f"/v2/{image.repository}/manifests/bad"
        answer = connection.ask(request_fields("PUT", path, own, ("content-type", OCI_MANIFEST)), b"[" * 100_000)
        assert (answer.status, _error(answer.body)) == (400, "MANIFEST_INVALID")


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [(":method", "GET")],
        [(":method", "GET"), (":scheme", "http"), (":path", "")],
        [(":method", ""), (":scheme", "http"), (":path", "/v2/")],
        [(":method", "GET"), (":scheme", "http"), (":path", "/v2/"), (":path", "/v2/")],
        [(":method", "GET"), (":scheme", "http"), (":path", "/v2/"), (":status", "200")],
        [(":method", "GET"), (":scheme", "http"), (":path", "/v2/"), ("x", "a"), (":authority", "a")],
        [(":method", "GET"), (":scheme", "http"), (":path", "/v2/"), ("Host", "a")],
        [(":method", "GET"), (":scheme", "http"), (":path", "/v2/"), ("connection", "close")],
        [(":method", "GET"), (":scheme", "http"), (":path", "/v2/"), ("transfer-encoding", "chunked")],
        [(":method", "GET"), (":scheme", "http"), (":path", "/v2/\r\nX-Evil: 1")],
        [(":method", "GET"), (":scheme", "http"), (":path", "/v2/ HTTP/1.1\r\nHost: a\r\n\r\n")],
        [(":method", "GET"), (":scheme", "http"), (":path", "/v2/"), ("x-a", "b\r\nx-evil: 1")],
        [(":method", "GET"), (":scheme", "http"), (":path", "/v2/"), ("x-a\r\n", "b")],
        [(":method", "GET"), (":scheme", "http"), (":path", b"/v2/\x00")],
        [(":method", "G T"), (":scheme", "http"), (":path", "/v2/")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "a b"), (":path", "/v2/")],
        [(":method", "GET"), (":scheme", "http"), (":path", "/v2/"), ("content-length", "-1")],
        [(":method", "GET"), (":scheme", "http"), (":path", "/v2/"), ("", "x")],
    ],
)
def test_http2_request_that_is_none_is_not_answered_as_one(
    target: Target, fields: list[tuple[str | bytes, str | bytes]], nothing_left: None
) -> None:
    with HTTP2Connection(target.port) as connection:
        answer = connection.ask(fields)
        # Refused by the web server, or, as far as it is a request, that of nobody.
        assert answer.status in {0, 400, 401, 404}
        assert b"evil" not in answer.body


def test_http2_body_shorter_than_announced_leaves_nothing(target: Target, image: Image) -> None:
    before = remains(target.data)
    path = f"/v2/{REPOSITORY}/blobs/uploads/?digest={sha256(b'hello')}"
    for length in ("6", "4", "0", "18446744073709551615"):
        with HTTP2Connection(target.port) as connection:
            fields = request_fields("POST", path, target.authorization, ("content-length", length))
            assert connection.ask(fields, b"hello").status in {0, 400}
    assert remains(target.data) == before


def test_http2_body_that_is_reset_can_be_resumed(target: Target) -> None:
    location = target.start_upload(REPOSITORY)
    with HTTP2Connection(target.port) as connection:
        stream = connection.open(request_fields("PATCH", location, target.authorization), end=False)
        connection.send(frame(http2.DATA, 0, stream, b"hello"))
        connection.send(frame(http2.RST_STREAM, 0, stream, b"\x00\x00\x00\x08"))
        answer = connection.ask(request_fields("GET", "/v2/", target.authorization))
        assert answer.status == 200
    assert target.ask("DELETE", location).status in {204, 409}


def test_http2_streams_reset_at_once_do_not_stop_the_server(target: Target) -> None:
    with HTTP2Connection(target.port) as connection:
        for _ in range(3000):
            stream = connection.open(request_fields("GET", "/v2/_catalog", target.authorization))
            connection.send(frame(http2.RST_STREAM, 0, stream, b"\x00\x00\x00\x08"))
    assert target.is_alive()


def test_http2_headers_that_unpack_to_megabytes_are_refused(target: Target) -> None:
    with HTTP2Connection(target.port) as connection:
        memory = target.server.server.peak_memory_bytes()
        stored = b"\x40" + http2.integer(1, 7) + b"x" + http2.integer(4000, 7) + b"a" * 4000
        plain = http2.block(request_fields("GET", "/v2/", target.authorization))
        for stream in range(1, 101, 2):
            # One field kept in the table, and then named four thousand times: 16 MB out of 4 kB.
            payload = plain + (stored if stream == 1 else b"") + b"\xbe" * 4000
            connection.send(frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, stream, payload))
        statuses = {connection.answer(stream).status for stream in range(1, 101, 2)}
        assert statuses <= {0, 431}
        assert target.server.server.peak_memory_bytes() < memory + 64 * 1024 * 1024


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x00" * 1000, id="zeros"),
        pytest.param(b"\xff" * 1000, id="ones"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n" * 100, id="http-1"),
        pytest.param(frame(http2.HEADERS, http2.END_HEADERS, 0, b"\x82"), id="headers-of-no-stream"),
        pytest.param(frame(http2.HEADERS, http2.END_HEADERS, 2, b"\x82"), id="headers-of-an-even-stream"),
        pytest.param(frame(http2.DATA, 0, 1, b"x"), id="data-of-an-idle-stream"),
        pytest.param(frame(http2.SETTINGS, 0, 0, b"x"), id="settings-cut"),
        pytest.param(frame(http2.SETTINGS, 0, 1, b""), id="settings-of-a-stream"),
        pytest.param(frame(http2.WINDOW_UPDATE, 0, 0, b"\x00" * 4), id="window-of-nothing"),
        pytest.param(frame(http2.WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 2, id="window-too-large"),
        pytest.param(frame(http2.PING, 0, 0, b"x"), id="ping-cut"),
        pytest.param(frame(http2.CONTINUATION, 0, 1, b""), id="continuation-of-nothing"),
        pytest.param(frame(http2.HEADERS, http2.END_HEADERS, 1, b"\xff" * 100), id="headers-unpacked-wrongly"),
        pytest.param(frame(http2.HEADERS, http2.END_HEADERS, 1, b"\xbe"), id="headers-name-what-is-not-there"),
        pytest.param(frame(http2.DATA, 0, 1, b"x" * 20_000), id="frame-too-large"),
        pytest.param(b"\xff\xff\xff\x00\x00\x00\x00\x00\x01", id="frame-far-too-large"),
        pytest.param(
            frame(http2.HEADERS, 0, 1, b"") + frame(http2.CONTINUATION, 0, 1, b"\x00\x01x\x01y" * 3000) * 2000,
            id="continuation-without-end",
        ),
    ],
)
def test_http2_bytes_that_are_no_frames_end_the_connection(target: Target, data: bytes) -> None:
    with HTTP2Connection(target.port) as connection:
        connection.send(data)
        assert connection.ends()


@pytest.mark.parametrize("authority", ['evil",scope="x', "evil/path", "a@evil", "evil\\", "", "a" * 1000])
def test_http2_authority_comes_back_only_as_one(target: Target, authority: str) -> None:
    with HTTP2Connection(target.port) as connection:
        fields = [(":method", "GET"), (":scheme", "http"), (":authority", authority), (":path", "/v2/")]
        assert connection.ask(fields).status in {0, 400, 401}


@pytest.mark.parametrize("hosts", [[], [("host", "a"), ("host", "b")], [("host", "")], [(":authority", "")]])
def test_http2_request_for_no_host_or_several_is_refused(target: Target, hosts: list[tuple[str, str]]) -> None:
    pseudo = [field for field in hosts if field[0].startswith(":")]
    others = [field for field in hosts if not field[0].startswith(":")]
    with HTTP2Connection(target.port) as connection:
        fields = [(":method", "GET"), (":scheme", "http"), (":path", "/v2/"), *pseudo, *others]
        # Some are refused by the web server, which resets the stream.
        assert connection.ask([*fields, ("authorization", target.authorization)]).status in {0, 400}
