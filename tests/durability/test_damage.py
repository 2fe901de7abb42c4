"""Files that are damaged behind the registry's back: it says so, never sends half of one, and is healed by a push."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.images import digest_of
from tests.durability.consistency import assert_consistent, blob_locations
from tests.durability.exchange import Answer, Connection, request
from tests.durability.pushes import (
    SMALL_BYTES_MAX,
    Image,
    assert_image_pulls,
    get_blob,
    image_of,
    make_image,
    push_at_once,
    push_image,
    push_in_pieces,
    push_in_two,
    put_manifest,
)
from tests.peers.entrepot import Entrepot

REPOSITORY = "durability/damage"
LAYER_BYTES = 200_000
HOLDERS = 130
"""More repositories than a mount looks at."""


def _truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(LAYER_BYTES - 1)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _lengthen(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


def _remove(path: Path) -> None:
    path.unlink()


DAMAGES = (_truncate, _empty, _lengthen, _remove)


def _path(registry: Entrepot, content: bytes) -> Path:
    return registry.data / "storage" / blob_locations(registry.data)[digest_of(content)]


def _pushed(registry: Entrepot, repository: str = REPOSITORY) -> tuple[Image, bytes]:
    """An image in the registry, and its layer that is a file."""
    chance = random.SystemRandom()
    layer = chance.randbytes(LAYER_BYTES)
    image = make_image(random.Random(chance.getrandbits(64)), layer, layer_bytes=SMALL_BYTES_MAX)
    with Connection(registry) as connection:
        push_image(connection, repository, "one", image)
        assert_image_pulls(connection, repository, "one", image)
    return image, layer


def _damaged_total(registry: Entrepot) -> float:
    exposition = request(registry, "GET", "/metrics").body.decode()
    return float(exposition.partition("\nentrepot_blob_damaged_total ")[2].partition("\n")[0] or 0)


def _assert_damaged(connection: Connection, repository: str, content: bytes) -> None:
    digest = digest_of(content)
    assert get_blob(connection, repository, digest, "HEAD").status == 404
    got = get_blob(connection, repository, digest)
    _assert_says_what_to_do(got)
    path = f"/v2/{repository}/blobs/{digest}"
    for ranges in ("bytes=0-9", "bytes=0-9,20-29", "bytes=-10"):
        _assert_says_what_to_do(connection.request("GET", path, headers={"Range": ranges}))


def _assert_says_what_to_do(answer: Answer) -> None:
    assert (answer.status, answer.error["code"]) == (404, "BLOB_UNKNOWN")
    assert "push the image again" in answer.error["message"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_blob_is_reported_counted_and_never_sent(entrepot: Entrepot, damage: Callable[[Path], None]) -> None:
    image, layer = _pushed(entrepot)
    damage(_path(entrepot, layer))
    before = _damaged_total(entrepot)
    with Connection(entrepot) as connection:
        _assert_damaged(connection, REPOSITORY, layer)
        assert _damaged_total(entrepot) >= before + 5
        sound = get_blob(connection, REPOSITORY, digest_of(image.blobs[0]))
        assert sound.body == image.blobs[0]
        assert push_at_once(connection, REPOSITORY, layer).status == 201
    assert digest_of(layer) in entrepot.log_path.read_text()


@pytest.mark.parametrize("push", [push_at_once, push_in_two, push_in_pieces])
@pytest.mark.parametrize("damage", [_truncate, _remove])
def test_damaged_blob_pushed_again_is_healed(
    entrepot: Entrepot, damage: Callable[[Path], None], push: Callable[[Connection, str, bytes], Answer]
) -> None:
    image, layer = _pushed(entrepot)
    damage(_path(entrepot, layer))
    with Connection(entrepot) as connection:
        _assert_damaged(connection, REPOSITORY, layer)
        assert push(connection, REPOSITORY, layer).status == 201
        assert_image_pulls(connection, REPOSITORY, "one", image)
    assert_consistent(entrepot.data)


@pytest.mark.parametrize("damage", [_truncate, _remove])
def test_damaged_blob_pushed_to_another_repository_is_healed_in_both(
    entrepot: Entrepot, damage: Callable[[Path], None]
) -> None:
    image, layer = _pushed(entrepot)
    damage(_path(entrepot, layer))
    with Connection(entrepot) as connection:
        _assert_damaged(connection, REPOSITORY, layer)
        push_image(connection, "durability/other", "one", image)
        assert_image_pulls(connection, "durability/other", "one", image)
        assert_image_pulls(connection, REPOSITORY, "one", image)
    assert_consistent(entrepot.data)


@pytest.mark.parametrize("named", [True, False], ids=["named", "anonymous"])
@pytest.mark.parametrize("damage", [_truncate, _remove])
def test_damaged_blob_mounted_is_asked_for_instead_and_healed(
    entrepot: Entrepot, damage: Callable[[Path], None], named: bool
) -> None:
    image, layer = _pushed(entrepot)
    damage(_path(entrepot, layer))
    target = f"durability/mounted-{digest_of(layer)[7:15]}"
    with Connection(entrepot) as connection:
        source = f"&from={REPOSITORY}" if named else ""
        mounted = connection.request("POST", f"/v2/{target}/blobs/uploads/?mount={digest_of(layer)}{source}")
        assert mounted.status == 202, mounted
        refused = put_manifest(connection, target, "one", image_of(layer).manifest)
        assert (refused.status, refused.error["code"]) == (400, "MANIFEST_BLOB_UNKNOWN")
        location = f"{mounted.headers['location']}?digest={digest_of(layer)}"
        assert connection.request("PUT", location, layer).status == 201
        assert get_blob(connection, target, digest_of(layer)).body == layer
        assert_image_pulls(connection, REPOSITORY, "one", image)
    assert_consistent(entrepot.data)


def test_damaged_blob_of_many_repositories_is_healed_in_all(entrepot: Entrepot) -> None:
    """Each worker remembers where the blob was, for each repository that it was pulled from."""
    _, layer = _pushed(entrepot)
    digest = digest_of(layer)
    repositories = [f"durability/holder-{number}" for number in range(HOLDERS)]
    with Connection(entrepot) as connection:
        for repository in repositories:
            mount = f"/v2/{repository}/blobs/uploads/?mount={digest}&from={REPOSITORY}"
            assert connection.request("POST", mount).status == 201
            assert get_blob(connection, repository, digest).body == layer
        _path(entrepot, layer).unlink()
        assert push_at_once(connection, REPOSITORY, layer).status == 201
        for repository in repositories:
            assert get_blob(connection, repository, digest).body == layer, repository


def test_damaged_blob_needed_by_a_manifest_that_is_pushed_again_is_sent_again(entrepot: Entrepot) -> None:
    """What docker does: it asks for each blob before it pushes, and sends those that it is told are not there."""
    image, layer = _pushed(entrepot)
    _truncate(_path(entrepot, layer))
    with Connection(entrepot) as connection:
        for blob in image.blobs:
            if get_blob(connection, REPOSITORY, digest_of(blob), "HEAD").status == 404:
                assert push_in_pieces(connection, REPOSITORY, blob).status == 201
        assert put_manifest(connection, REPOSITORY, "one", image.manifest).status == 201
        assert_image_pulls(connection, REPOSITORY, "one", image)
    assert_consistent(entrepot.data)
