"""Uploads are broken off, resumed, repeated, cancelled, and fought over."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.functional.repository import LARGE_BYTES, SMALL_BYTES, Repository, code_of, digest_of, noise
from tests.functional.setups import SetUp

POLL_SECONDS = 0.05
POLLS_MAX = 600
BOTH_SIZES = pytest.mark.parametrize("size", [SMALL_BYTES, LARGE_BYTES])


def offset(answer: httpx.Response) -> int:
    """How many bytes the registry has: the Range header names the last one, and 0-0 also means none."""
    return int(answer.headers["range"].removeprefix("0-")) + 1


def status(repository: Repository, address: str) -> httpx.Response:
    return repository.client.get(address)


def send_and_break(set_up: SetUp, address: str, content: bytes, announced: int) -> None:
    """PATCH with fewer bytes than announced, and then the connection is gone."""
    credentials = httpx.BasicAuth(set_up.server.username, set_up.server.password)
    headers = next(credentials.auth_flow(httpx.Request("GET", "http://any"))).headers
    with socket.create_connection(("127.0.0.1", set_up.server.port)) as connection:
        lines = [
            f"PATCH {address} HTTP/1.1",
            f"Host: {set_up.server.host}",
            f"Authorization: {headers['authorization']}",
            f"Content-Length: {announced}",
        ]
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + content)


def wait_for_bytes(repository: Repository, address: str, least: int) -> int:
    """The registry records what a broken connection has left once it notices."""
    known = 0
    for _ in range(POLLS_MAX):
        known = offset(status(repository, address))
        if known >= least:
            break
        time.sleep(POLL_SECONDS)
    return known


@BOTH_SIZES
@pytest.mark.parametrize("chunks", [2, 5])
def test_upload_in_chunks(repository: Repository, size: int, chunks: int) -> None:
    content = noise(size)
    address, start = repository.new_upload(), 0
    length = -(-size // chunks)
    while start < size:
        sent = repository.send(address, content[start : start + length], start)
        assert sent.status_code == 202, sent.text
        start += len(content[start : start + length])
        assert sent.headers["range"] == f"0-{start - 1}"
        asked = status(repository, address)
        assert (asked.status_code, asked.headers["range"]) == (204, f"0-{start - 1}")
        address = sent.headers["location"]

    assert repository.finish(address, digest_of(content)).status_code == 201
    assert repository.blob(digest_of(content)).content == content


@BOTH_SIZES
def test_last_chunk_comes_with_the_last_request(repository: Repository, size: int) -> None:
    content = noise(size)
    address = repository.new_upload()
    repository.send(address, content[: size // 2])

    assert repository.finish(address, digest_of(content), content[size // 2 :]).status_code == 201
    assert repository.blob(digest_of(content)).content == content


@BOTH_SIZES
def test_upload_goes_on_where_the_connection_broke(set_up: SetUp, repository: Repository, size: int) -> None:
    content = noise(size)
    address = repository.new_upload()
    half = size // 2
    send_and_break(set_up, address, content[:half], announced=size)

    known = wait_for_bytes(repository, address, half)
    assert known == half
    assert repository.send(address, content[known:], known).status_code == 202
    assert repository.finish(address, digest_of(content)).status_code == 201
    assert repository.blob(digest_of(content)).content == content


@BOTH_SIZES
def test_chunk_at_the_wrong_place_is_refused(repository: Repository, size: int) -> None:
    content = noise(size)
    address = repository.new_upload()
    repository.send(address, content[:100], 0)
    for start in (0, 50, 101):
        refused = repository.send(address, content[start : start + 100], start)
        assert refused.status_code == 416, refused.text

    assert status(repository, address).headers["range"] == "0-99"
    assert repository.finish(address, digest_of(content), content[100:]).status_code == 201


def test_first_chunk_that_does_not_begin_at_the_beginning_is_refused(repository: Repository) -> None:
    assert repository.send(repository.new_upload(), b"content", 10).status_code == 416


@BOTH_SIZES
def test_cancelled_upload_is_gone(repository: Repository, size: int) -> None:
    content = noise(size)
    address = repository.new_upload()
    repository.send(address, content)
    assert repository.client.delete(address).status_code == 204

    answers = [
        status(repository, address),
        repository.send(address, content),
        repository.finish(address, digest_of(content)),
        repository.client.delete(address),
    ]
    assert [(answer.status_code, code_of(answer)) for answer in answers] == [(404, "BLOB_UPLOAD_UNKNOWN")] * 4
    assert not repository.has_blob(digest_of(content))


@BOTH_SIZES
@pytest.mark.parametrize("sent_before", [True, False], ids=["sent-before", "sent-last"])
def test_wrong_digest_is_refused_and_ends_the_upload(repository: Repository, size: int, sent_before: bool) -> None:
    content, other = noise(size), digest_of(noise(size))
    address = repository.new_upload()
    if sent_before:
        repository.send(address, content)
    refused = repository.finish(address, other, b"" if sent_before else content)

    assert (refused.status_code, code_of(refused)) == (400, "DIGEST_INVALID")
    assert not repository.has_blob(other)
    assert not repository.has_blob(digest_of(content))
    assert status(repository, address).headers["range"] == "0-0"


def test_upload_belongs_to_its_repository(repository: Repository, other_repository: Repository) -> None:
    address = repository.new_upload()
    elsewhere = address.replace(repository.name, other_repository.name)

    assert code_of(other_repository.send(elsewhere, b"content")) == "BLOB_UPLOAD_UNKNOWN"


@pytest.mark.parametrize("change", ["seal", "id", "no seal", "nonsense"])
def test_address_that_was_not_given_out_is_unknown(repository: Repository, change: str) -> None:
    address = repository.new_upload()
    folder, _, segment = address.rpartition("/")
    upload_id, terms, seal = segment.split(".")
    changed = {
        "seal": f"{upload_id}.{terms}.{seal[::-1]}",
        "id": f"{upload_id[::-1]}.{terms}.{seal}",
        "no seal": upload_id,
        "nonsense": "nonsense",
    }[change]

    assert code_of(repository.send(f"{folder}/{changed}", b"content")) == "BLOB_UPLOAD_UNKNOWN"


# What a client does that did not hear the answer, or that is out of its mind, after the upload became a blob.

Again = Callable[[Repository, str, bytes], httpx.Response]
AGAIN: dict[str, Again] = {
    "finishes": lambda r, address, content: r.finish(address, digest_of(content)),
    "finishes with the body": lambda r, address, content: r.finish(address, digest_of(content), content),
    "finishes with another body": lambda r, address, content: r.finish(address, digest_of(content), content[::-1]),
    "finishes under another digest": lambda r, address, content: r.finish(address, digest_of(b"other"), content),
    "sends": lambda r, address, content: r.send(address, content),
    "sends another body": lambda r, address, content: r.send(address, content[::-1]),
    "cancels": lambda r, address, content: r.client.delete(address),
    "sends another body and cancels": lambda r, address, content: (
        r.send(address, content[::-1]) and r.client.delete(address)
    ),
    "sends another body and finishes": lambda r, address, content: (
        r.send(address, content[::-1]) and r.finish(address, digest_of(content))
    ),
    "sends and finishes": lambda r, address, content: (
        r.send(address, content) and r.finish(address, digest_of(content))
    ),
}


@BOTH_SIZES
@pytest.mark.parametrize("again", AGAIN)
@pytest.mark.parametrize("sent_before", [True, False], ids=["sent-before", "sent-last"])
def test_blob_is_whole_whatever_is_asked_of_its_upload_afterwards(
    repository: Repository, size: int, again: str, sent_before: bool
) -> None:
    content = noise(size)
    address = repository.new_upload()
    if sent_before:
        repository.send(address, content)
    assert repository.finish(address, digest_of(content), b"" if sent_before else content).status_code == 201

    answer = AGAIN[again](repository, address, content)
    assert answer.status_code < 500
    if again in {"finishes", "finishes with the body", "sends and finishes"}:
        assert answer.status_code == 201
    assert repository.blob(digest_of(content)).content == content


@BOTH_SIZES
@pytest.mark.parametrize("sent_before", [True, False], ids=["sent-before", "sent-last"])
def test_upload_finished_by_many_at_once(repository: Repository, size: int, sent_before: bool) -> None:
    content = noise(size)
    address = repository.new_upload()
    if sent_before:
        repository.send(address, content)
    body = b"" if sent_before else content
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: repository.finish(address, digest_of(content), body), range(8)))

    codes = {answer.status_code for answer in answers}
    assert 201 in codes
    # 400: a body that was sent after half of another one, which is not what the digest says.
    assert codes <= {201, 400, 404, 409, 416}, [answer.text for answer in answers]
    assert repository.blob(digest_of(content)).content == content


@BOTH_SIZES
def test_upload_finished_and_cancelled_at_once(repository: Repository, size: int) -> None:
    for _ in range(5):
        content = noise(size)
        address = repository.new_upload()
        repository.send(address, content)
        with ThreadPoolExecutor(2) as threads:
            finishing = threads.submit(repository.finish, address, digest_of(content))
            cancelling = threads.submit(repository.client.delete, address)
        finished, cancelled = finishing.result(), cancelling.result()

        assert finished.status_code in {201, 404, 409, 416}, finished.text
        assert cancelled.status_code in {204, 404, 409, 416}, cancelled.text
        if finished.status_code == 201:
            assert repository.blob(digest_of(content)).content == content
        else:
            assert not repository.has_blob(digest_of(content))


@BOTH_SIZES
def test_upload_finished_under_the_right_and_a_wrong_digest_at_once(repository: Repository, size: int) -> None:
    for _ in range(5):
        content = noise(size)
        address = repository.new_upload()
        repository.send(address, content)
        digests = [digest_of(content), digest_of(b"wrong")]
        with ThreadPoolExecutor(2) as threads:
            right, wrong = threads.map(repository.finish, [address] * 2, digests)

        assert wrong.status_code in {400, 404, 409, 416}, wrong.text
        if right.status_code == 201:
            assert repository.blob(digest_of(content)).content == content


@BOTH_SIZES
def test_chunks_sent_at_once_never_mix(repository: Repository, size: int) -> None:
    """Whichever of them the registry takes, the blob is what its digest says."""
    for _ in range(3):
        contents = [noise(size) for _ in range(4)]
        address = repository.new_upload()
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(repository.send, [address] * 4, contents))
        assert {answer.status_code for answer in answers} <= {202, 409, 416}, [answer.text for answer in answers]
        # Without a Content-Range a second one may well go after the first.
        whole = int(status(repository, address).headers["range"].removeprefix("0-")) + 1
        assert whole % size == 0
        accepted = [content for content, answer in zip(contents, answers, strict=True) if answer.status_code == 202]
        assert whole == len(accepted) * size
        if len(accepted) == 1:
            assert repository.finish(address, digest_of(accepted[0])).status_code == 201
            assert repository.blob(digest_of(accepted[0])).content == accepted[0]


def test_late_body_of_an_old_request_does_not_change_what_was_sent_since(set_up: SetUp, repository: Repository) -> None:
    """A first request waits with its body, while a second one, perhaps in another worker, sends all of it."""
    good, bad = noise(), noise()
    for _ in range(4):
        address = repository.new_upload()
        go_on = threading.Event()

        def late(content: bytes = bad, go_on: threading.Event = go_on) -> Iterator[bytes]:
            yield content[:10]
            go_on.wait(30)
            yield content[10:]

        with ThreadPoolExecutor(1) as threads:
            slow = threads.submit(repository.send, address, late())
            time.sleep(POLL_SECONDS)
            sent = repository.send(address, good)
            go_on.set()
            assert slow.result().status_code in {202, 409, 416}
        if sent.status_code != 202 or slow.result().status_code == 202:
            continue
        with set_up.server.client() as another_connection:
            finished = repository.by(another_connection).finish(address, digest_of(good))
        assert finished.status_code == 201, finished.text
        assert repository.blob(digest_of(good)).content == good
        good = noise()


@BOTH_SIZES
def test_upload_goes_on_after_a_restart(set_up: SetUp, repository: Repository, size: int) -> None:
    content = noise(size)
    address = repository.new_upload()
    repository.send(address, content[: size // 2])
    set_up.server.restart()

    assert offset(status(repository, address)) == size // 2
    repository.send(address, content[size // 2 :], size // 2)
    set_up.server.restart()
    assert repository.finish(address, digest_of(content)).status_code == 201
    assert repository.blob(digest_of(content)).content == content
