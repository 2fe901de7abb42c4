"""Changes that hold only if a name is still what the client has seen (RFC 9110, section 13.1)."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.functional.repository import SMALL_BYTES, Manifest, Repository, code_of, image, noise
from tests.functional.setups import SetUp

NEW = {"if-none-match": "*"}


@pytest.fixture
def images(repository: Repository) -> list[Manifest]:
    """Images whose blobs are there, not pushed yet."""
    config = noise(SMALL_BYTES)
    repository.push_blob(config)
    return [image(config, [], annotations={"number": str(number)}) for number in range(8)]


def only_if(tag: str) -> Mapping[str, str]:
    return {"if-match": tag}


def test_tag_moves_only_from_what_the_client_has_seen(repository: Repository, images: list[Manifest]) -> None:
    first, second, third = images[:3]
    assert repository.put_manifest(first, "v1", headers=NEW).status_code == 201
    seen = repository.manifest("v1").headers["etag"]
    assert repository.put_manifest(second, "v1", headers=only_if(seen)).status_code == 201

    lost = repository.put_manifest(third, "v1", headers=only_if(seen))
    assert (lost.status_code, code_of(lost)) == (412, "DENIED")
    assert lost.json()["errors"][0]["detail"]["current"] == second.digest
    assert repository.manifest("v1").content == second.payload
    # What was refused left nothing behind.
    assert repository.manifest(third.digest).status_code == 404
    assert repository.put_manifest(third, "v1", headers=only_if(f'"other", "{second.digest}"')).status_code == 201


@pytest.mark.parametrize("headers", [NEW, {"if-match": "*"}, {"if-match": '"sha256:abc"'}, {"if-match": "W/*"}])
def test_tag_is_made_only_where_there_is_none(
    repository: Repository, images: list[Manifest], headers: dict[str, str]
) -> None:
    first, second = images[:2]
    made = repository.put_manifest(first, "v1", headers=headers)
    assert made.status_code == (201 if headers is NEW else 412)
    repository.put_manifest(first, "v1")
    for content in (first, second):
        assert repository.put_manifest(content, "v1", headers=NEW).status_code == 412
    assert repository.manifest("v1").content == first.payload


def test_of_two_who_write_one_tag_the_second_loses(repository: Repository, images: list[Manifest]) -> None:
    """Two signers of one fallback index: what the first has written must not vanish."""

    def push(headers: Mapping[str, str]) -> int:
        with ThreadPoolExecutor(len(images)) as pool:
            answers = pool.map(lambda content: repository.put_manifest(content, "v1", headers=headers), images)
            return [answer.status_code for answer in answers].count(201)

    for _ in range(3):
        assert push(NEW) == 1
        seen = repository.manifest("v1").headers["etag"]
        # Who writes again what is there already has lost nothing.
        assert push(only_if(seen)) in {1, 2}
        repository.delete_manifest("v1")


def test_only_what_the_client_has_seen_is_deleted(
    set_up: SetUp, repository: Repository, images: list[Manifest]
) -> None:
    first, second = images[:2]
    repository.push_manifest(first, "v1")
    seen = repository.manifest("v1").headers["etag"]
    repository.push_manifest(second, "v1")

    assert repository.delete_manifest("v1", only_if(seen)).status_code == 412
    assert repository.delete_manifest("v1", only_if(f'"{second.digest}"')).status_code == 202
    assert repository.delete_manifest("v1", only_if("*")).status_code == 412
    assert repository.delete_manifest(first.digest, only_if(f'"{second.digest}"')).status_code == 412
    assert repository.delete_manifest(first.digest, only_if(f'"{first.digest}"')).status_code == 202
    assert set_up.soon(lambda: repository.manifest(first.digest).status_code == 404)


def test_manifest_is_pushed_by_digest_only_where_it_is_not(repository: Repository, images: list[Manifest]) -> None:
    assert repository.put_manifest(images[0], headers=only_if("*")).status_code == 412
    assert repository.put_manifest(images[0], headers=NEW).status_code == 201
    assert repository.put_manifest(images[0], headers=NEW).status_code == 412
    assert repository.put_manifest(images[0], headers=only_if("*")).status_code == 201
