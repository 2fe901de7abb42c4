"""Bodies that are not what their headers say, that break off, or that hardly arrive."""

import gzip
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.hostile.answers import assert_refused, assert_well_formed
from tests.hostile.remains import Remains, remains, upload_files
from tests.hostile.target import OCI_LAYER, OCI_MANIFEST, Image, Target, descriptor, sha256
from tests.hostile.wire import Answer, chunked, request
from tests.peers.entrepot import Entrepot

REPOSITORY = "hostile/bodies"
BROKEN_CHUNKS = {
    "size-is-a-word": b"ZZ\r\nhello\r\n0\r\n\r\n",
    "size-is-empty": b"\r\nhello\r\n0\r\n\r\n",
    "size-is-negative": b"-5\r\nhello\r\n0\r\n\r\n",
    "size-has-a-sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "size-has-a-prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "size-over-64-bits": b"FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
    "size-is-endless": b"F" * 100_000 + b"\r\nhello\r\n0\r\n\r\n",
    "size-is-less": b"3\r\nhello\r\n0\r\n\r\n",
    "extension-is-endless": b"5;" + b"a" * 100_000 + b"\r\nhello\r\n0\r\n\r\n",
    "no-line-break": b"5\r\nhello0\r\n\r\n",
    "line-feed-only": b"5\nhello\n0\n\n",
    "nul": b"5\x00\r\nhello\r\n0\r\n\r\n",
}
"""Each after a first chunk that was right."""
CUT_CHUNKS = {
    "in-a-size": b"5",
    "after-a-size": b"5\r\n",
    "in-a-chunk": b"5\r\nhel",
    "after-a-chunk": b"5\r\nhello\r\n",
    "huge-chunk": b"7FFFFFFFFFFFFFFF\r\nhello",
}


@pytest.fixture(scope="module")
def slow_target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A server that has little patience."""
    config = "[server]\nheader_timeout_seconds = 1\nbody_idle_seconds = 1\nbody_bytes_per_second_min = 100000\n"
    with Entrepot(tmp_path_factory.mktemp("slow"), config=config) as server:
        yield Target(server)
    server.remove_data()


# Breaking off. Of an upload that can be resumed what arrived is kept; of anything else nothing is.


@pytest.mark.parametrize("content", [b"", b"h", b"hell", b"x" * 300_000, b"x" * 9_000_000])
def test_upload_shorter_than_announced_can_be_resumed(target: Target, content: bytes) -> None:
    location = target.start_upload(REPOSITORY)
    headers = [("Content-Length", str(len(content) + 1))]
    answers = target.exchange(target.request("PATCH", location, headers, content), finish=True)
    _assert_broken_off(answers)
    _eventually(lambda: _offset(target, location) == (len(content) if len(content) > 1 else 0))
    whole = content + b"!"
    rest = whole if len(content) == 1 else b"!"
    if len(content) == 1:  # 0-0 means one byte or none
        assert target.ask("DELETE", location).status == 204
        return
    answer = target.ask("PUT", f"{location}?digest={sha256(whole)}", body=rest)
    assert answer.status == 201
    assert target.ask("GET", f"/v2/{REPOSITORY}/blobs/{sha256(whole)}").body == whole


@pytest.mark.parametrize("end", [*CUT_CHUNKS.values(), *BROKEN_CHUNKS.values()], ids=[*CUT_CHUNKS, *BROKEN_CHUNKS])
def test_upload_in_broken_chunks_can_be_resumed(target: Target, end: bytes) -> None:
    location = target.start_upload(REPOSITORY)
    body = chunked(b"good ", end=end)
    headers = [("Transfer-Encoding", "chunked")]
    _assert_broken_off(target.exchange(target.request("PATCH", location, headers, body), finish=True))
    _eventually(lambda: _offset(target, location) >= 5)
    offset = _offset(target, location)
    assert offset <= 10
    whole = b"good hello"[:offset] + b"!"
    answer = target.ask("PUT", f"{location}?digest={sha256(whole)}", body=b"!")
    assert answer.status == 201


@pytest.mark.parametrize("end", [*CUT_CHUNKS.values(), *BROKEN_CHUNKS.values()], ids=[*CUT_CHUNKS, *BROKEN_CHUNKS])
def test_blob_at_once_in_broken_chunks_leaves_nothing(target: Target, image: Image, end: bytes) -> None:
    before = remains(target.data)
    path = f"/v2/{REPOSITORY}/blobs/uploads/?digest={sha256(b'good hello')}"
    body = chunked(b"good ", end=end)
    data = target.request("POST", path, [("Transfer-Encoding", "chunked")], body)
    _assert_broken_off(target.exchange(data, finish=True))
    _eventually_as(target, before)


def test_blob_at_once_shorter_than_announced_leaves_nothing(target: Target, image: Image) -> None:
    before = remains(target.data)
    for content in (b"", b"hell", b"x" * 300_000, b"x" * 20_000_000):
        path = f"/v2/{REPOSITORY}/blobs/uploads/?digest={sha256(content)}"
        data = target.request("POST", path, [("Content-Length", str(len(content) + 1))], content)
        _assert_broken_off(target.exchange(data, finish=True))
        _eventually_as(target, before)


@pytest.mark.parametrize("end", [*CUT_CHUNKS.values(), *BROKEN_CHUNKS.values()], ids=[*CUT_CHUNKS, *BROKEN_CHUNKS])
def test_manifest_in_broken_chunks_leaves_nothing(target: Target, image: Image, end: bytes) -> None:
    before = remains(target.data)
    headers = [("Transfer-Encoding", "chunked"), ("Content-Type", OCI_MANIFEST)]
    data = target.request("PUT", f"/v2/{image.repository}/manifests/bad", headers, chunked(image.payload, end=end))
    _assert_broken_off(target.exchange(data, finish=True))
    _eventually_as(target, before)


def test_manifest_shorter_than_announced_leaves_nothing(target: Target, image: Image) -> None:
    before = remains(target.data)
    headers = [("Content-Length", str(len(image.payload) + 1)), ("Content-Type", OCI_MANIFEST)]
    data = target.request("PUT", f"/v2/{image.repository}/manifests/bad", headers, image.payload)
    _assert_broken_off(target.exchange(data, finish=True))
    _eventually_as(target, before)


def test_connection_reset_in_a_body_leaves_a_server_that_goes_on(target: Target) -> None:
    files = upload_files(target.data)
    for _ in range(50):
        location = target.start_upload(REPOSITORY)
        connection = target.connect()
        connection.send(target.request("PATCH", location, [("Content-Length", "1000000")], b"x" * 1000))
        connection.close()  # unread answers make this a reset
        assert target.ask("DELETE", location).status in {204, 404, 409}
        _eventually(partial(_is_over, target, location))
    _eventually(lambda: upload_files(target.data) == files)


# More than announced: what comes after is another request, or none.


def test_body_longer_than_announced_is_not_read_into_the_upload(target: Target) -> None:
    location = target.start_upload(REPOSITORY)
    headers = [("Content-Length", "5")]
    data = target.request("PATCH", location, headers, b"hello and more", close=False)
    first, second = target.exchange(data)
    assert (first.status, first.header("range")) == (202, "0-4")
    assert (second.status, second.body) == (400, b"")
    assert _offset(target, location) == 5
    assert target.ask("DELETE", location).status == 204


def test_request_in_a_body_is_not_a_request(target: Target) -> None:
    location = target.start_upload(REPOSITORY)
    inner = target.request("DELETE", location)
    (answer,) = target.exchange(target.request("PATCH", location, body=inner))
    assert answer.status == 202
    (answer,) = target.exchange(target.request("PATCH", location, [("Transfer-Encoding", "chunked")], chunked(inner)))
    assert answer.status == 202
    assert _offset(target, location) == 2 * len(inner)
    assert target.ask("DELETE", location).status == 204


@pytest.mark.parametrize("order", [1, -1])
def test_body_with_length_and_chunks_is_read_in_chunks_and_the_connection_closed(target: Target, order: int) -> None:
    location = target.start_upload(REPOSITORY)
    both: list[tuple[str, str | bytes]] = [("Content-Length", "6"), ("Transfer-Encoding", "chunked")]
    smuggled = request("DELETE", location, [("Authorization", target.authorization)])
    for headers in (both[::order], [*both[::order], ("Content-Length", "6")]):
        data = target.request("PATCH", location, headers, chunked(b"hello"), close=False)
        answers = target.exchange(data + smuggled)
        assert len(answers) == 1
        assert answers[0].status in {202, 400}
        assert_well_formed(answers[0])
    assert target.ask("GET", location).status == 204
    assert target.ask("DELETE", location).status == 204


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Length", "5"), ("Content-Length", "6")],
        [("Content-Length", "5, 6")],
        [("Content-Length", "+5")],
        [("Content-Length", "-5")],
        [("Content-Length", "5.0")],
        [("Content-Length", "0x5")],
        [("Content-Length", "5 5")],
        [("Content-Length", "\u0665")],
        [("Content-Length", "99999999999999999999999")],
        [("Content-Length", "five")],
        [("Transfer-Encoding", "gzip")],
        [("Transfer-Encoding", "xchunked")],
        [("Transfer-Encoding", "chunked, identity")],
        [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "identity")],
        [("Transfer-Encoding", "identity"), ("Content-Length", "5")],
        [("Transfer-Encoding", "\x0bchunked")],
        [("Transfer-Encoding ", "chunked")],
        [(" Content-Length", "5")],
        [("Content-Length\x00", "5")],
    ],
)
def test_body_of_an_unclear_length_is_refused_and_the_connection_closed(
    target: Target, image: Image, headers: list[tuple[str, str | bytes]]
) -> None:
    location = target.start_upload(REPOSITORY)
    before = remains(target.data)
    smuggled = request("DELETE", location, [("Authorization", target.authorization)])
    answers = target.exchange(target.request("PATCH", location, headers, b"hello", close=False) + smuggled)
    assert [answer.status for answer in answers] == [400]
    assert_well_formed(answers[0])
    assert remains(target.data) == before


def test_body_with_the_same_length_twice_is_read_once(target: Target) -> None:
    location = target.start_upload(REPOSITORY)
    headers = [("Content-Length", "5"), ("Content-Length", "5")]
    (answer,) = target.exchange(target.request("PATCH", location, headers, b"hello"))
    assert answer.status in {202, 400}
    assert target.ask("DELETE", location).status == 204


def test_body_where_none_is_expected_is_ignored(target: Target, image: Image, nothing_left: None) -> None:
    for method, path in (
        ("GET", "/v2/"),
        ("HEAD", f"/v2/{image.repository}/manifests/{image.tag}"),
        ("GET", f"/v2/{image.repository}/blobs/{sha256(image.layer)}"),
        ("DELETE", f"/v2/{image.repository}/manifests/nothing-here"),
        ("GET", "/healthz"),
    ):
        for headers, body in (([], b"x" * 1000), ([("Transfer-Encoding", "chunked")], chunked(b"x" * 100_000))):
            answer = target.ask(method, path, headers, body)
            assert answer.status in {200, 404}
            assert_well_formed(answer, head=method == "HEAD")


# Clients that are slow on purpose.


@pytest.mark.parametrize("sent", [b"G", b"GET", b"GET /v2/ HTTP/1.1\r\n", b"GET /v2/ HTTP/1.1\r\nHost: a\r\nX-A: "])
def test_headers_that_do_not_end_close_the_connection(slow_target: Target, sent: bytes) -> None:
    with slow_target.connect() as connection:
        connection.send(sent)
        assert connection.answers() == []


def test_headers_that_trickle_close_the_connection(slow_target: Target) -> None:
    with slow_target.connect() as connection:
        connection.send(b"GET /v2/ HTTP/1.1\r\nHost: a\r\n")
        deadline = time.monotonic() + 60
        while connection.still_open():
            assert time.monotonic() < deadline, "a header every tenth of a second keeps a connection for ever"
            connection.send(b"X-A: b\r\n")
            time.sleep(0.1)


def test_connection_without_another_request_is_closed(slow_target: Target) -> None:
    with slow_target.connect() as connection:
        connection.send(slow_target.request("GET", "/v2/", close=False))
        assert [answer.status for answer in connection.answers()] == [200]


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("PATCH", [("Content-Length", "1000")]),
        ("PATCH", [("Transfer-Encoding", "chunked")]),
        ("PUT", [("Content-Length", "1000")]),
    ],
)
def test_upload_that_pauses_ends_and_can_be_resumed(
    slow_target: Target, method: str, headers: list[tuple[str, str | bytes]]
) -> None:
    content = b"hello"
    location = slow_target.start_upload(REPOSITORY)
    body = content if headers[0][0] == "Content-Length" else chunked(content, end=b"")
    with slow_target.connect() as connection:
        path = f"{location}?digest={sha256(content)}" if method == "PUT" else location
        connection.send(slow_target.request(method, path, headers, body))
        assert_refused(connection.answer(), 408, "BLOB_UPLOAD_INVALID")
        assert connection.answer() is None
    assert _offset(slow_target, location) == len(content)
    assert slow_target.ask("PUT", f"{location}?digest={sha256(content)}").status == 201


def test_upload_that_trickles_ends_and_can_be_resumed(slow_target: Target) -> None:
    location = slow_target.start_upload(REPOSITORY)
    with slow_target.connect() as connection:
        connection.send(slow_target.request("PATCH", location, [("Content-Length", "100000000")], b""))
        deadline = time.monotonic() + 60
        while connection.still_open(answered_is_open=False):
            assert time.monotonic() < deadline, "a few bytes now and then keep an upload for ever"
            connection.send(b"x" * 10)
            time.sleep(0.05)
        assert_refused(connection.answer(), 408, "BLOB_UPLOAD_INVALID")
    assert _offset(slow_target, location) > 0
    assert slow_target.ask("DELETE", location).status == 204


def test_blob_at_once_that_pauses_leaves_nothing(slow_target: Target) -> None:
    before = remains(slow_target.data)
    path = f"/v2/{REPOSITORY}/blobs/uploads/?digest={sha256(b'x' * 1000)}"
    with slow_target.connect() as connection:
        connection.send(slow_target.request("POST", path, [("Content-Length", "1000")], b"x" * 999))
        assert_refused(connection.answer(), 408, "BLOB_UPLOAD_INVALID")
    assert remains(slow_target.data) == before


def test_manifest_that_pauses_leaves_nothing(slow_target: Target) -> None:
    before = remains(slow_target.data)
    headers = [("Content-Length", "1000"), ("Content-Type", OCI_MANIFEST)]
    with slow_target.connect() as connection:
        connection.send(slow_target.request("PUT", f"/v2/{REPOSITORY}/manifests/bad", headers, b"{"))
        assert_refused(connection.answer(), 408, "BLOB_UPLOAD_INVALID")
    assert remains(slow_target.data) == before


# Nothing is ever unpacked.


def test_layer_that_unpacks_to_half_a_gigabyte_is_kept_packed(target: Target, image: Image) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(1024 * 1024)
    bomb = gzip.compress(b"".join(packer.compress(zeros) for _ in range(512)) + packer.flush())
    memory = target.server.server.peak_memory_bytes()
    digest = target.push_blob(image.repository, bomb)
    document = image.with_changes(layers=[descriptor(bomb, OCI_LAYER)])
    for headers in ([], [("Accept-Encoding", "gzip, deflate, br")], [("Accept-Encoding", "identity")]):
        answer = target.ask("GET", f"/v2/{image.repository}/blobs/{digest}", headers)
        assert (answer.status, answer.body, answer.header("content-encoding")) == (200, bomb, None)
    assert target.push_manifest(image.repository, "bomb", document).status == 201
    assert target.server.server.peak_memory_bytes() < memory + 128 * 1024 * 1024


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "gzip, gzip, gzip", "identity", "\xff"])
def test_content_encoding_of_a_body_changes_nothing(target: Target, image: Image, coding: str) -> None:
    bomb = gzip.compress(bytes(64 * 1024 * 1024))
    headers = [("Content-Encoding", coding.encode("latin-1"))]
    path = f"/v2/{image.repository}/blobs/uploads/?digest={sha256(bomb)}"
    assert target.ask("POST", path, headers, bomb).status == 201
    answer = target.ask("PUT", f"/v2/{image.repository}/manifests/bad", headers, gzip.compress(image.payload))
    assert_refused(answer, 400, "MANIFEST_INVALID")


def _assert_broken_off(answers: list[Answer]) -> None:
    """Whoever still listens learns that the body was not what it said."""
    for answer in answers:
        assert answer.status == 400
        assert_well_formed(answer)


def _is_over(target: Target, location: str) -> bool:
    return target.ask("DELETE", location).status == 404


def _offset(target: Target, location: str) -> int:
    answer = target.ask("GET", location)
    last = int((answer.header("range") or "").removeprefix("0-"))
    return last + 1 if last else 0


def _eventually(holds: Callable[[], bool]) -> None:
    """Wait for what follows a connection's end, of which no answer tells."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


def _eventually_as(target: Target, before: Remains) -> None:
    _eventually(lambda: remains(target.data) == before)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/grants"),
        ("PUT", "/api/v1/roles/any"),
        ("PUT", "/api/v1/users/local/any"),
        ("POST", "/api/v1/no"),
    ],
)
@pytest.mark.parametrize("authorization", [None, "Basic d3Jvbmc6d3Jvbmc=", "Bearer wrong"])
@pytest.mark.parametrize("header", [("Content-Length", "1000000"), ("Transfer-Encoding", "chunked")])
def test_body_of_who_may_not_is_not_waited_for(
    target: Target, method: str, path: str, authorization: str | None, header: tuple[str, str]
) -> None:
    """It never comes, and the refusal does."""
    headers = [header, ("Content-Type", "application/json")]
    with target.connect() as connection:
        connection.send(target.request(method, path, headers, authorization=authorization, close=False))
        answer = connection.answer()
        assert answer is not None
        assert answer.status == (404 if path.endswith("/no") else 401)
        assert connection.answer() is None
