"""Requests that meet: whatever the order, no row without its bytes, no manifest without its blobs, no mixed upload."""

import random
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.budgets import rounds
from tests.clients.images import digest_of
from tests.durability.conftest import WORKERS
from tests.durability.consistency import assert_consistent, blob_locations, files, upload_ids
from tests.durability.exchange import Answer, Connection, connection_to_each_worker, request
from tests.durability.pushes import (
    PUSHES,
    assert_image_pulls,
    finishing,
    get_blob,
    get_manifest,
    half_sent,
    image_of,
    make_image,
    push_at_once,
    push_image,
    put_manifest,
    start_upload,
)
from tests.peers.entrepot import Entrepot

ROUNDS = rounds(60)
SIZES = (1_000, 60_000, 700_000)
"""Kept in the database; a file written at once; a file written in several steps."""


class Racers:
    """Two connections, to two worker processes, on which requests are made at the same moment."""

    def __init__(self, connections: list[Connection], threads: ThreadPoolExecutor) -> None:
        self.connections = connections
        self._threads = threads

    def race(self, *calls: Callable[[Connection], Answer]) -> list[Answer]:
        """Each call with a connection of its own; all start together."""
        barrier = threading.Barrier(len(calls))

        def run(call: Callable[[Connection], Answer], connection: Connection) -> Answer:
            barrier.wait()
            return call(connection)

        running = [
            self._threads.submit(run, call, connection)
            for call, connection in zip(calls, self.connections, strict=True)
        ]
        return [future.result() for future in running]


@pytest.fixture
def racers(entrepot: Entrepot) -> Iterator[Racers]:
    with ExitStack() as stack:
        connections = connection_to_each_worker(entrepot, WORKERS, stack)
        yield Racers(connections, stack.enter_context(ThreadPoolExecutor(WORKERS)))


@pytest.fixture
def chance() -> random.Random:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    return random.Random(seed)


@pytest.fixture(autouse=True)
def no_strays(entrepot: Entrepot) -> Iterator[None]:
    """When a test is over, there are no bytes that no row names, and no upload, that were not there before."""
    before = _strays(entrepot)
    yield
    assert _strays(entrepot) <= before
    assert_consistent(entrepot.data)


def _strays(entrepot: Entrepot) -> set[str]:
    return (files(entrepot.data) - set(blob_locations(entrepot.data).values())) | upload_ids(entrepot.data)


def _statuses(answers: list[Answer]) -> list[int]:
    return [answer.status for answer in answers]


@pytest.mark.parametrize("repositories", [("race/a", "race/a"), ("race/a", "race/b")], ids=["same", "two"])
def test_blob_pushed_twice_at_once_is_stored_once(
    racers: Racers, chance: random.Random, repositories: tuple[str, str]
) -> None:
    for number in range(ROUNDS):
        content = chance.randbytes(SIZES[number % len(SIZES)])
        pushes = [chance.choice(PUSHES) for _ in repositories]
        answers = racers.race(
            lambda c, content=content, push=pushes[0]: push(c, repositories[0], content),
            lambda c, content=content, push=pushes[1]: push(c, repositories[1], content),
        )
        assert _statuses(answers) == [201, 201], answers
        for repository, connection in zip(repositories, racers.connections, strict=True):
            assert get_blob(connection, repository, digest_of(content)).body == content


def test_manifest_pushed_while_its_blob_is_deleted_is_refused_or_keeps_it(
    racers: Racers, chance: random.Random
) -> None:
    outcomes: Counter[tuple[int, ...]] = Counter()
    for number in range(ROUNDS):
        repository = f"race/delete-{number % 5}"
        layer = chance.randbytes(chance.choice((100, 50_000)))
        image = image_of(b'{"number": %d}' % chance.getrandbits(64), layer)
        for blob in image.blobs:
            assert push_at_once(racers.connections[0], repository, blob).status == 201
        path = f"/v2/{repository}/blobs/{digest_of(layer)}"
        put, deleted = racers.race(
            lambda c, repository=repository, image=image: put_manifest(c, repository, "race", image.manifest),
            lambda c, path=path: c.request("DELETE", path),
        )
        outcomes[put.status, deleted.status] += 1
        if put.status == 201:
            assert deleted.status == 409, (put, deleted)
            for connection in racers.connections:
                assert_image_pulls(connection, repository, "race", image)
        else:
            assert (put.status, put.error["code"]) == (400, "MANIFEST_BLOB_UNKNOWN"), put
            assert deleted.status == 202, deleted
            for connection in racers.connections:
                assert get_manifest(connection, repository, image.digest).status == 404
                assert get_blob(connection, repository, digest_of(layer)).status == 404
    print(outcomes)


def test_tag_set_while_it_is_deleted_is_one_or_the_other_for_every_worker(
    racers: Racers, chance: random.Random
) -> None:
    repository = "race/tag"
    images = [make_image(chance) for _ in range(2)]
    for image in images:
        push_image(racers.connections[0], repository, "tag", image)
    for number in range(ROUNDS):
        image = images[number % 2]
        assert put_manifest(racers.connections[0], repository, "tag", images[1 - number % 2].manifest).status == 201
        put, deleted = racers.race(
            lambda c, image=image: put_manifest(c, repository, "tag", image.manifest),
            lambda c: c.request("DELETE", f"/v2/{repository}/manifests/tag"),
        )
        assert (put.status, deleted.status) == (201, 202), (put, deleted)
        answers = [get_manifest(connection, repository, "tag") for connection in racers.connections]
        assert answers[0].body == answers[1].body or {answers[0].status, answers[1].status} == {404}
        assert answers[0].status == 404 or answers[0].body == image.manifest
        listed = racers.connections[0].request("GET", f"/v2/{repository}/tags/list")
        assert (b'"tag"' in listed.body) == (answers[0].status == 200)


def test_tag_set_twice_at_once_is_one_of_both_for_every_worker(racers: Racers, chance: random.Random) -> None:
    repository = "race/tags"
    images = [make_image(chance) for _ in range(2)]
    for image in images:
        push_image(racers.connections[0], repository, "tag", image)
    for _ in range(ROUNDS):
        answers = racers.race(
            *(lambda c, image=image: put_manifest(c, repository, "tag", image.manifest) for image in images)
        )
        assert _statuses(answers) == [201, 201]
        seen = {get_manifest(connection, repository, "tag").body for connection in racers.connections}
        assert len(seen) == 1
        assert seen <= {image.manifest for image in images}


def test_manifest_deleted_while_it_is_pushed_is_there_whole_or_not_at_all(
    racers: Racers, chance: random.Random
) -> None:
    repository = "race/manifest"
    image = make_image(chance)
    push_image(racers.connections[0], repository, "tag", image)
    for _ in range(ROUNDS):
        put, deleted = racers.race(
            lambda c: put_manifest(c, repository, "tag", image.manifest),
            lambda c: c.request("DELETE", f"/v2/{repository}/manifests/{image.digest}"),
        )
        assert put.status == 201, put
        assert deleted.status in {202, 404}, deleted
        answers = [get_manifest(connection, repository, "tag") for connection in racers.connections]
        assert answers[0].status == answers[1].status
        if answers[0].status == 200:
            assert_image_pulls(racers.connections[1], repository, image.digest, image)


@pytest.mark.parametrize("size", SIZES)
def test_two_patches_at_once_leave_the_bytes_of_one(racers: Racers, chance: random.Random, size: int) -> None:
    """The same offset, equally long, different bytes: one is refused, and the digest is that of the other."""
    repository = "race/patch"
    for number in range(ROUNDS // 2):
        start = chance.randbytes(chance.choice((0, 500, 40_000)))
        ends = [chance.randbytes(size) for _ in range(2)]
        location = start_upload(racers.connections[0], repository)
        if start:
            assert racers.connections[number % 2].request("PATCH", location, start).status == 202
        answers = racers.race(*(lambda c, end=end, at=location: c.request("PATCH", at, end) for end in ends))
        taken = [end for end, answer in zip(ends, answers, strict=True) if answer.status == 202]
        if len(taken) == 2:  # One after the other, without a Content-Range that says where.
            orders = (start + ends[0] + ends[1], start + ends[1] + ends[0])
        else:
            assert sorted(_statuses(answers))[0] == 202, answers
            assert sorted(_statuses(answers))[1] in {409, 416}, answers
            orders = (start + taken[0],)
        _assert_is_one_of(racers.connections[(number + 1) % 2], repository, location, orders)


@pytest.mark.parametrize("size", SIZES)
def test_two_patches_of_one_range_at_once_leave_the_bytes_of_one(
    racers: Racers, chance: random.Random, size: int
) -> None:
    repository = "race/range"
    for number in range(ROUNDS // 2):
        ends = [chance.randbytes(size) for _ in range(2)]
        location = start_upload(racers.connections[0], repository)
        headers = {"Content-Range": f"0-{size - 1}"}
        answers = racers.race(
            *(lambda c, end=end, at=location, h=headers: c.request("PATCH", at, end, h) for end in ends)
        )
        assert sorted(_statuses(answers))[0] == 202, answers
        assert sorted(_statuses(answers))[1] in {409, 416}, answers
        (taken,) = (end for end, answer in zip(ends, answers, strict=True) if answer.status == 202)
        _assert_is_one_of(racers.connections[number % 2], repository, location, (taken,))


def _assert_is_one_of(connection: Connection, repository: str, location: str, contents: tuple[bytes, ...]) -> None:
    """The upload has one of these contents: closing it with its digest works, and gives these bytes."""
    offset = connection.request("GET", location).offset
    assert offset in map(len, contents)
    for content in contents:
        finished = connection.request("PUT", finishing(location, content))
        if finished.status == 201:
            assert get_blob(connection, repository, digest_of(content)).body == content
            return
        # The wrong guess throws the upload away: the next one cannot be right.
        assert (finished.status, finished.error["code"]) in {(400, "DIGEST_INVALID"), (404, "BLOB_UPLOAD_UNKNOWN")}
    assert len(contents) > 1, "the bytes are not those that were acknowledged"


@pytest.mark.parametrize("size", SIZES)
def test_upload_finished_twice_at_once_with_different_bytes_keeps_each_digest_true(
    racers: Racers, chance: random.Random, size: int
) -> None:
    repository = "race/finish"
    for number in range(ROUNDS // 2):
        contents = [chance.randbytes(size) for _ in range(2)]
        if number % 2:
            contents[1] = contents[0]
        location = start_upload(racers.connections[0], repository)
        answers = racers.race(
            *(
                lambda c, content=content, at=location: c.request("PUT", finishing(at, content), content)
                for content in contents
            )
        )
        assert 201 in _statuses(answers), answers
        assert set(_statuses(answers)) <= {201, 404, 409, 416}, answers
        for content, answer in zip(contents, answers, strict=True):
            if answer.status == 201:
                for connection in racers.connections:
                    assert get_blob(connection, repository, digest_of(content)).body == content


@pytest.mark.parametrize("size", SIZES)
def test_upload_closed_twice_at_once_is_a_whole_blob(racers: Racers, chance: random.Random, size: int) -> None:
    repository = "race/close"
    for _ in range(ROUNDS // 2):
        content = chance.randbytes(size)
        location = start_upload(racers.connections[0], repository)
        assert racers.connections[0].request("PATCH", location, content).status == 202
        answers = racers.race(*[lambda c, at=location: c.request("PUT", finishing(at, content))] * 2)  # noqa: B023
        assert 201 in _statuses(answers), answers
        assert set(_statuses(answers)) <= {201, 404, 409, 416}, answers
        for connection in racers.connections:
            assert get_blob(connection, repository, digest_of(content)).body == content


@pytest.mark.parametrize("size", SIZES)
def test_upload_cancelled_while_it_is_patched_is_gone(racers: Racers, chance: random.Random, size: int) -> None:
    repository = "race/cancel"
    for number in range(ROUNDS // 2):
        location = start_upload(racers.connections[0], repository)
        if number % 2:
            assert racers.connections[0].request("PATCH", location, chance.randbytes(40_000)).status == 202
        patched, cancelled = racers.race(
            lambda c, at=location: c.request("PATCH", at, chance.randbytes(size)),
            lambda c, at=location: c.request("DELETE", at),
        )
        assert cancelled.status == 204, cancelled
        assert patched.status in {202, 404, 409, 416}, patched
        for connection in racers.connections:
            assert connection.request("GET", location).status == 404
            assert connection.request("PATCH", location, b"more").status == 404


@pytest.mark.parametrize("size", SIZES)
def test_upload_cancelled_while_it_is_closed_is_a_whole_blob_or_none(
    racers: Racers, chance: random.Random, size: int
) -> None:
    repository = "race/cancel-close"
    for _ in range(ROUNDS // 2):
        content = chance.randbytes(size)
        location = start_upload(racers.connections[0], repository)
        assert racers.connections[0].request("PATCH", location, content).status == 202
        closed, cancelled = racers.race(
            lambda c, at=location, content=content: c.request("PUT", finishing(at, content)),
            lambda c, at=location: c.request("DELETE", at),
        )
        assert cancelled.status in {204, 404}, cancelled
        assert closed.status in {201, 404, 409, 416}, closed
        for connection in racers.connections:
            pulled = get_blob(connection, repository, digest_of(content))
            assert pulled.status == (200 if closed.status == 201 else 404)
            assert closed.status != 201 or pulled.body == content


def test_patch_while_another_is_on_its_way_is_refused(entrepot: Entrepot, chance: random.Random) -> None:
    content = chance.randbytes(6_000_000)
    with Connection(entrepot) as connection:
        location = start_upload(connection, "race/busy")
    with half_sent(entrepot, "PATCH", location, content, 5_000_000) as first:
        refused = None
        while refused is None or refused.status == 202:
            # Until the first one's bytes have been recorded, this one may still come before it.
            offset = request(entrepot, "GET", location).offset
            if offset:
                refused = request(entrepot, "PATCH", location, b"other")
        assert (refused.status, refused.error["code"]) == (409, "BLOB_UPLOAD_INVALID"), refused
        assert refused.error["message"]
        first.send(content[5_000_000:])
        assert first.answer().status == 202
    finished = request(entrepot, "PUT", finishing(location, content))
    assert finished.status == 201, finished
    assert request(entrepot, "GET", f"/v2/race/busy/blobs/{digest_of(content)}").body == content


def test_blob_deleted_while_it_is_pushed_is_there_whole_or_not_at_all(racers: Racers, chance: random.Random) -> None:
    repository = "race/blob"
    for number in range(ROUNDS):
        content = chance.randbytes(SIZES[number % len(SIZES)])
        assert push_at_once(racers.connections[0], repository, content).status == 201
        path = f"/v2/{repository}/blobs/{digest_of(content)}"
        pushed, deleted = racers.race(
            lambda c, content=content: push_at_once(c, repository, content),
            lambda c, path=path: c.request("DELETE", path),
        )
        assert (pushed.status, deleted.status) == (201, 202), (pushed, deleted)
        answers = [get_blob(connection, repository, digest_of(content)) for connection in racers.connections]
        assert answers[0].status == answers[1].status
        assert all(answer.status == 404 or answer.body == content for answer in answers)
