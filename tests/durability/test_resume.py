"""Uploads that broke off go on where the registry says, whoever broke them off and whoever answers next."""

import contextlib
import http.client
import random
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.clients.images import digest_of
from tests.durability.conftest import WORKERS, MakeEntrepot
from tests.durability.consistency import assert_consistent
from tests.durability.exchange import Answer, Connection, connection_to_each_worker, request
from tests.durability.pushes import (
    SMALL_BYTES_MAX,
    finishing,
    get_blob,
    half_sent,
    patch_range,
    start_upload,
)
from tests.peers.entrepot import Entrepot

REPOSITORY = "durability/resume"
MIB = 2**20
CHECKPOINT_BYTES = 64 * MIB
LONG_BYTES = 110 * MIB
CUT_BYTES = 90 * MIB
POLL_SECONDS = 0.02
WAIT_SECONDS_MAX = 60


def _status(registry: Entrepot, location: str) -> Answer:
    answer = request(registry, "GET", location)
    assert answer.status == 204, answer
    return answer


def _wait_for_offset(registry: Entrepot, location: str, enough: Callable[[int], bool]) -> int:
    """The upload's offset once it is enough: the server learns a little later than we that a client is gone."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not enough(offset := _status(registry, location).offset):
        assert time.monotonic() < deadline, f"the registry knows of {offset} bytes"
        time.sleep(POLL_SECONDS)
    return offset


def _finish(registry: Entrepot, location: str, content: bytes, offset: int) -> None:
    """Send what is missing, close the upload, and read the blob back."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while (patched := patch_range(location, registry, content, offset)).status in {409, 416}:
        # The request that was cut off is still being worked on: then a client asks again where to go on.
        assert time.monotonic() < deadline, patched
        time.sleep(POLL_SECONDS)
        offset = _status(registry, location).offset
    assert patched.status == 202, patched
    assert patched.offset == len(content)
    finished = request(registry, "PUT", finishing(patched.headers["location"], content))
    assert finished.status == 201, finished
    _assert_there(registry, content)


def _assert_there(registry: Entrepot, content: bytes) -> None:
    pulled = request(registry, "GET", f"/v2/{REPOSITORY}/blobs/{digest_of(content)}")
    assert pulled.status == 200, pulled
    assert pulled.body == content


def _new_upload(registry: Entrepot) -> str:
    with Connection(registry) as connection:
        return start_upload(connection, REPOSITORY)


@pytest.mark.parametrize("sent", [SMALL_BYTES_MAX // 2, 100_000, 5 * MIB + 4321], ids=["few", "some", "many"])
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_patch_cut_off_by_client_resumes_at_the_reported_offset(entrepot: Entrepot, sent: int, reset: bool) -> None:
    content = random.Random(sent + reset).randbytes(sent + 3 * MIB)
    location = _new_upload(entrepot)
    with half_sent(entrepot, "PATCH", location, content, sent) as connection:
        if reset:
            time.sleep(POLL_SECONDS)
            connection.reset()
    # A reset may overtake what was sent; an orderly end does not.
    offset = _wait_for_offset(entrepot, location, lambda offset: 0 < offset <= sent if reset else offset == sent)
    _finish(entrepot, location, content, offset)


def test_put_cut_off_by_client_resumes_at_the_reported_offset(entrepot: Entrepot) -> None:
    content = random.Random(1).randbytes(4 * MIB)
    location = _new_upload(entrepot)
    with half_sent(entrepot, "PUT", finishing(location, content), content, 2 * MIB):
        pass
    offset = _wait_for_offset(entrepot, location, lambda offset: offset == 2 * MIB)
    headers = {"Content-Range": f"{offset}-{len(content) - 1}"}
    finished = request(entrepot, "PUT", finishing(location, content), content[offset:], headers)
    assert finished.status == 201, finished
    _assert_there(entrepot, content)


def test_upload_cut_off_many_times_ends_with_the_right_bytes(entrepot: Entrepot) -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    content = chance.randbytes(6 * MIB)
    location = _new_upload(entrepot)
    offset = 0
    while len(content) - offset > MIB:
        # Not one byte at the start: in the protocol's range header that looks the same as none.
        end = min(offset + chance.choice((2, 10_000, SMALL_BYTES_MAX, MIB)), len(content) - 1)
        with Connection(entrepot) as connection:
            headers = {"Content-Range": f"{offset}-{len(content) - 1}"}
            connection.begin("PATCH", location, length=len(content) - offset, headers=headers)
            connection.send(content[offset:end])
        offset = _wait_for_offset(entrepot, location, lambda offset, end=end: offset == end)  # type: ignore[misc]
    _finish(entrepot, location, content, offset)


def test_patch_at_another_offset_is_refused_and_says_where_to_go_on(entrepot: Entrepot) -> None:
    content = random.Random(2).randbytes(200_000)
    location = _new_upload(entrepot)
    assert request(entrepot, "PATCH", location, content[:100_000]).status == 202
    for wrong in (0, 99_999, 100_001):
        refused = patch_range(location, entrepot, content, wrong)
        assert (refused.status, refused.error["code"]) == (416, "BLOB_UPLOAD_INVALID")
        assert "100000" in refused.error["message"]
    _finish(entrepot, location, content, _status(entrepot, location).offset)


@pytest.mark.parametrize("piece_bytes", [10_000, 300_000], ids=["small", "large"])
def test_upload_answered_by_another_worker_each_time_ends_with_the_right_bytes(
    entrepot: Entrepot, piece_bytes: int
) -> None:
    content = random.Random(piece_bytes).randbytes(piece_bytes * 5)
    with ExitStack() as stack:
        connections = connection_to_each_worker(entrepot, WORKERS, stack)
        location = start_upload(connections[0], REPOSITORY)
        workers = set()
        for number in range(5):
            connection = connections[number % WORKERS]
            piece = content[number * piece_bytes : (number + 1) * piece_bytes]
            answer = connection.request("PATCH", location, piece)
            assert answer.status == 202, answer
            workers.add(answer.worker)
            location = answer.headers["location"]
        assert len(workers) == WORKERS
        finished = connections[5 % WORKERS].request("PUT", finishing(location, content))
        assert finished.status == 201, finished
        pulled = get_blob(connections[0], REPOSITORY, digest_of(content))
        assert pulled.body == content


def test_patch_cut_off_by_a_killed_server_resumes_at_the_reported_offset(make_entrepot: MakeEntrepot) -> None:
    registry = make_entrepot()
    registry.start()
    content = random.Random(3).randbytes(LONG_BYTES)
    location = _new_upload(registry)
    with half_sent(registry, "PATCH", location, content, CUT_BYTES):
        # More than one checkpoint: that after the first bytes, and another.
        seen = _wait_for_offset(registry, location, lambda offset: offset >= CHECKPOINT_BYTES)
        registry.kill()
    registry.start()
    offset = _status(registry, location).offset
    assert seen <= offset <= CUT_BYTES
    _finish(registry, location, content, offset)
    registry.stop()


def test_upload_cut_off_by_a_killed_server_that_had_recorded_nothing_starts_at_zero(
    make_entrepot: MakeEntrepot,
) -> None:
    registry = make_entrepot()
    registry.start()
    content = random.Random(4).randbytes(100_000)
    location = _new_upload(registry)
    with half_sent(registry, "PATCH", location, content, 50_000), contextlib.suppress(http.client.HTTPException):
        registry.kill()
    registry.start()
    assert _status(registry, location).offset == 0
    _finish(registry, location, content, 0)
    registry.stop()


@pytest.mark.parametrize("size", [1000, 100_000], ids=["small", "large"])
@pytest.mark.parametrize("again", ["close", "body", "all"])
def test_upload_finished_without_hearing_so_can_be_finished_again(entrepot: Entrepot, size: int, again: str) -> None:
    content = random.Random(f"{size} {again}").randbytes(size)
    location = _new_upload(entrepot)
    for number in range(4):
        if again == "all" or (again == "close" and number == 0):
            assert request(entrepot, "PATCH", location, content).status == 202
        finished = request(entrepot, "PUT", finishing(location, content), content if again == "body" else b"")
        assert finished.status == 201, finished
        _assert_there(entrepot, content)
    assert_consistent(entrepot.data)
