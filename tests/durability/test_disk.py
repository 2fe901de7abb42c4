"""Disks that are full, or that refuse to be written: an error that says so, pulls go on, nothing is left behind."""

import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients.images import digest_of
from tests.durability.conftest import MakeEntrepot
from tests.durability.consistency import assert_consistent, blob_locations, files, upload_ids
from tests.durability.disks import Disk, file_disk, memory_disk
from tests.durability.exchange import Answer, Connection, request
from tests.durability.pushes import (
    Acknowledged,
    Image,
    assert_image_pulls,
    get_blob,
    make_image,
    push_at_once,
    push_image,
    push_in_pieces,
    push_in_two,
    put_manifest,
)
from tests.peers.entrepot import Entrepot

REPOSITORY = "durability/disk"
MIB = 2**20
DISK_BYTES = 48 * MIB
TOO_MUCH_BYTES = 64 * MIB
FILE_DISK_BYTES = 96 * MIB
SMALL_PUSHES_MAX = 5000
WAIT_SECONDS_MAX = 60
POLL_SECONDS = 0.2
CONNECTIONS = 16
"""So many that each worker gets one."""
Push = Callable[[Connection, str, bytes], Answer]


@pytest.fixture
def full_registry(tmp_path: Path, make_entrepot: MakeEntrepot) -> Iterator[tuple[Entrepot, Disk]]:
    """A server whose data, log and temporary files share one small disk, as on a machine that has no other."""
    with memory_disk(tmp_path / "disk", size_bytes=DISK_BYTES) as disk:
        temporary = disk.path / "tmp"
        temporary.mkdir()
        registry = make_entrepot(directory="disk/entrepot", environment={"TMPDIR": str(temporary)})
        registry.start()
        yield registry, disk
        registry.stop()


def _assert_refused_for_space(answer: Answer) -> None:
    assert answer.status == 507, answer
    assert answer.error["code"] == "UNAVAILABLE"
    assert "add space" in answer.error["message"]
    assert "operator" in answer.error["message"]


def _assert_nothing_left(registry: Entrepot) -> None:
    """No bytes but those of blobs, and no upload."""
    assert files(registry.data) == set(blob_locations(registry.data).values())
    assert upload_ids(registry.data) == set()
    assert_consistent(registry.data)


@pytest.mark.parametrize("push", [push_at_once, push_in_two, push_in_pieces])
def test_push_larger_than_the_disk_is_refused_and_leaves_nothing(
    full_registry: tuple[Entrepot, Disk], push: Push
) -> None:
    registry, _ = full_registry
    image = make_image(random.Random(1))
    with Connection(registry) as connection:
        push_image(connection, REPOSITORY, "before", image)
    with Connection(registry) as connection:
        _assert_refused_for_space(push(connection, REPOSITORY, random.Random(2).randbytes(TOO_MUCH_BYTES)))
    _assert_nothing_left(registry)
    with Connection(registry) as connection:
        assert_image_pulls(connection, REPOSITORY, "before", image)
        push_image(connection, REPOSITORY, "after", make_image(random.Random(3)))


def test_full_disk_refuses_pushes_and_serves_pulls_until_it_is_freed(full_registry: tuple[Entrepot, Disk]) -> None:
    registry, disk = full_registry
    image = make_image(random.Random(4), random.Random(5).randbytes(MIB))
    with Connection(registry) as connection:
        push_image(connection, REPOSITORY, "before", image)
        disk.fill()
        refused = _push_until_refused(connection, 100) + _push_until_refused(connection, 100_000)
        for answer in refused:
            _assert_refused_for_space(answer)
        for number in range(50):
            _assert_refused_for_space(put_manifest(connection, REPOSITORY, f"no-{number}", _larger(image)))
            assert_image_pulls(connection, REPOSITORY, "before", image)
    assert request(registry, "GET", "/healthz").status == 200
    assert request(registry, "GET", "/metrics").status == 200
    assert request(registry, "GET", f"/v2/{REPOSITORY}/tags/list").status == 200
    assert request(registry, "GET", f"/v2/{REPOSITORY}/blobs/sha256:{'0' * 64}").status == 404
    _wait_for_readiness(registry, "degraded", {"storage writing"})
    assert_consistent(registry.data)

    disk.free()
    _wait_for_readiness(registry, "ready", set())
    with Connection(registry) as connection:
        assert_image_pulls(connection, REPOSITORY, "before", image)
        push_image(connection, REPOSITORY, "after", make_image(random.Random(6)))
    _assert_nothing_left(registry)


@pytest.mark.parametrize("size", [100, 40_000], ids=["small", "large"])
def test_disk_that_fills_up_push_by_push_refuses_the_last_and_leaves_nothing_of_it(
    full_registry: tuple[Entrepot, Disk], size: int
) -> None:
    """Somewhere on the way the bytes have room and their record has not."""
    registry, disk = full_registry
    disk.fill(leave_bytes=2 * MIB)
    pushed = []
    chance = random.Random(size)
    with Connection(registry) as connection:
        for _ in range(SMALL_PUSHES_MAX):
            content = chance.randbytes(size)
            answer = push_at_once(connection, REPOSITORY, content)
            if answer.status != 201:
                break
            pushed.append(content)
        else:
            raise AssertionError("the disk did not become full")
        _assert_refused_for_space(answer)
        assert pushed
        for content in pushed:
            assert get_blob(connection, REPOSITORY, digest_of(content)).body == content
    _assert_nothing_left(registry)
    disk.free()
    with Connection(registry) as connection:
        push_image(connection, REPOSITORY, "after", make_image(random.Random(7)))
    _assert_nothing_left(registry)


def test_full_disk_of_the_database_refuses_pushes_and_leaves_no_bytes_on_that_of_the_blobs(
    tmp_path: Path, make_entrepot: MakeEntrepot
) -> None:
    """The bytes are on stable storage already when the commit fails."""
    storage = tmp_path / "blobs"
    with memory_disk(tmp_path / "disk", size_bytes=DISK_BYTES) as disk:
        registry = make_entrepot(directory="disk/entrepot", config=f'[storage]\nurl = "file://{storage}"\n')
        registry.start()
        with Connection(registry) as connection:
            push_image(connection, REPOSITORY, "before", make_image(random.Random(12), layer_bytes=100_000))
            disk.fill()
            refused = 0
            for number in range(SMALL_PUSHES_MAX):
                push = (push_at_once, push_in_two, push_in_pieces)[number % 3]
                answer = push(connection, REPOSITORY, random.Random(number).randbytes(100_000))
                if answer.status != 201:
                    _assert_refused_for_space(answer)
                    refused += 1
                if refused == 12:
                    break
            assert refused == 12
            assert files(registry.data, storage) == set(blob_locations(registry.data).values())
            disk.free()
            push_image(connection, REPOSITORY, "after", make_image(random.Random(13), layer_bytes=100_000))
        assert_consistent(registry.data, storage)
        registry.stop()


def _push_until_refused(connection: Connection, size: int) -> list[Answer]:
    """Push blobs until some are refused: the database's file has a little room in itself."""
    refused = []
    chance = random.Random(size)
    for _ in range(SMALL_PUSHES_MAX):
        answer = push_at_once(connection, REPOSITORY, chance.randbytes(size))
        if answer.status != 201:
            refused.append(answer)
        if len(refused) == 10:
            return refused
    raise AssertionError("the disk is not full")


def _wait_for_readiness(registry: Entrepot, status: str, failed: set[str]) -> None:
    """What it says is some seconds old at most, and 200: a balancer shall not take it out for that."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        answer = request(registry, "GET", "/readyz")
        assert answer.status == 200, answer
        told = json.loads(answer.body)
        if told["status"] == status:
            assert {part for part, how in told["checks"].items() if how == "failed"} == failed
            return
        assert time.monotonic() < deadline, told
        time.sleep(POLL_SECONDS)


def _larger(image: Image) -> bytes:
    """A manifest of the same blobs that nobody has pushed, too large for what room a full database finds in itself."""
    return image.manifest[:-1] + b', "annotations": {"padding": "%s"}}' % (b"x" * 500_000)


def test_read_only_storage_refuses_pushes_and_serves_pulls_until_it_is_writable(
    tmp_path: Path, make_entrepot: MakeEntrepot
) -> None:
    with memory_disk(tmp_path / "blobs", size_bytes=DISK_BYTES) as disk:
        registry = make_entrepot(config=f'[storage]\nurl = "file://{disk.path}"\nsmall_blob_bytes_max = 0\n')
        registry.start()
        image = make_image(random.Random(8), layer_bytes=500_000)
        with Connection(registry) as connection:
            push_image(connection, REPOSITORY, "before", image)
            disk.remount("ro")
            for push in (push_at_once, push_in_two, push_in_pieces):
                for size in (100, 500_000):
                    _assert_refused(push(connection, REPOSITORY, random.Random(size).randbytes(size)))
            _wait_for_readiness(registry, "degraded", {"storage writing"})
            assert_image_pulls(connection, REPOSITORY, "before", image)
        disk.remount("rw")
        with Connection(registry) as connection:
            _wait_for_readiness(registry, "ready", set())
            push_image(connection, REPOSITORY, "after", make_image(random.Random(9), layer_bytes=500_000))
        assert_consistent(registry.data, disk.path)
        registry.stop()


def _assert_refused(answer: Answer) -> None:
    assert answer.status in {503, 507}, answer
    assert answer.error["code"] == "UNAVAILABLE"
    assert answer.error["message"]


def test_data_disk_that_failed_serves_pulls_and_nothing_is_lost_when_it_is_mounted_again(
    tmp_path: Path, make_entrepot: MakeEntrepot
) -> None:
    """As the kernel does it when an ext4 meets an error: read-only for good, under the open files."""
    with file_disk(tmp_path / "disk", tmp_path / "disk.img", size_bytes=FILE_DISK_BYTES) as disk:
        registry = make_entrepot(directory="disk/entrepot", workers=1)
        registry.log_path = tmp_path / "registry.log"
        registry.start()
        acknowledged = Acknowledged()
        with Connection(registry) as connection:
            for number in range(5):
                image = make_image(random.Random(number), layer_bytes=(number + 1) * 20_000)
                push_image(connection, REPOSITORY, f"tag-{number}", image)
                acknowledged.images[REPOSITORY, f"tag-{number}"] = image
        disk.remount("abort")
        acknowledged.assert_there(registry)
        with Connection(registry) as connection:
            refused = push_at_once(connection, REPOSITORY, random.Random(20).randbytes(100_000))
            _assert_refused(refused)
            _assert_refused(push_at_once(connection, REPOSITORY, random.Random(21).randbytes(100)))
            # Only a write meets it: the worker knows, since it has just tried one.
            _wait_for_readiness(registry, "degraded", {"storage writing"})
        acknowledged.assert_there(registry)
        assert _logged(registry.log_path, refused.headers["x-request-id"], "error").count("Read-only file system") > 0
        registry.stop()
        disk.mount_again()
        assert_consistent(registry.data)
        registry.start()
        acknowledged.assert_there(registry)
        with Connection(registry) as connection:
            push_image(connection, REPOSITORY, "after", make_image(random.Random(22)))
        registry.stop()


def _logged(log: Path, request_id: str, level: str) -> str:
    """What the log says of a request on lines of this level."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return " ".join(
        line["message"] for line in lines if line.get("request_id") == request_id and line.get("level") == level
    )


def test_data_disk_that_refuses_writes_serves_pulls_until_it_takes_them(
    tmp_path: Path, make_entrepot: MakeEntrepot
) -> None:
    """As after an error of the disk, when the kernel makes it read-only under open files.

    Of the workers some have written before, some open the database for it when it refuses: each writes again.
    """
    with file_disk(tmp_path / "disk", tmp_path / "disk.img", size_bytes=FILE_DISK_BYTES) as disk:
        registry = make_entrepot(directory="disk/entrepot", workers=3)
        registry.start()
        image = make_image(random.Random(10), layer_bytes=500_000)
        with Connection(registry) as connection:
            push_image(connection, REPOSITORY, "before", image)
        frozen = [
            *(path for path in registry.data.glob("entrepot.db*") if path.name != "entrepot.db-shm"),
            *(path for path in (registry.data / "storage").rglob("*") if path.is_dir()),
            registry.data,
        ]
        for path in frozen:
            disk.make_immutable(path, immutable=True)
        try:
            with Connection(registry) as connection:
                for size in (100, 500_000):
                    _assert_refused(push_at_once(connection, REPOSITORY, random.Random(size).randbytes(size)))
                _assert_refused(put_manifest(connection, REPOSITORY, "no", image.manifest))
                _assert_refused(connection.request("DELETE", f"/v2/{REPOSITORY}/manifests/before"))
                _wait_for_readiness(registry, "degraded", {"storage writing"})
                assert_image_pulls(connection, REPOSITORY, "before", image)
            for number in range(CONNECTIONS):
                with Connection(registry) as connection:
                    _assert_refused(push_at_once(connection, REPOSITORY, random.Random(number).randbytes(100)))
        finally:
            for path in reversed(frozen):
                disk.make_immutable(path, immutable=False)
        for number in range(CONNECTIONS):
            with Connection(registry) as connection:
                answer = push_at_once(connection, REPOSITORY, random.Random(number).randbytes(100))
                assert answer.status == 201, answer
        with Connection(registry) as connection:
            _wait_for_readiness(registry, "ready", set())
            assert_image_pulls(connection, REPOSITORY, "before", image)
            push_image(connection, REPOSITORY, "after", make_image(random.Random(11), layer_bytes=500_000))
        assert_consistent(registry.data)
        registry.stop()
