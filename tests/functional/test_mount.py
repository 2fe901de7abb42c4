"""A blob comes into a repository from another one, without its bytes being sent."""

import pytest

from tests.functional.repository import LARGE_BYTES, SMALL_BYTES, Repository, code_of, digest_of, noise

BOTH_SIZES = pytest.mark.parametrize("size", [SMALL_BYTES, LARGE_BYTES])


@BOTH_SIZES
@pytest.mark.parametrize("named", [True, False], ids=["from-a-repository", "from-anywhere"])
def test_blob_is_mounted(repository: Repository, other_repository: Repository, size: int, named: bool) -> None:
    content = noise(size)
    digest = other_repository.push_blob(content)
    source = {"from": other_repository.name} if named else {}
    mounted = repository.start_upload(mount=digest, **source)

    assert mounted.status_code == 201
    assert mounted.headers["docker-content-digest"] == digest
    assert repository.client.get(mounted.headers["location"]).content == content
    other_repository.client.delete(f"{other_repository.path}/blobs/{digest}")
    assert repository.blob(digest).content == content


@pytest.mark.parametrize("source", ["no/such/repository", None])
def test_blob_that_is_nowhere_is_to_be_sent(repository: Repository, source: str | None) -> None:
    content = noise()
    query = {"from": source} if source else {}
    started = repository.start_upload(mount=digest_of(content), **query)

    assert started.status_code == 202
    address = repository.send(started.headers["location"], content).headers["location"]
    assert repository.finish(address, digest_of(content)).status_code == 201
    assert repository.blob(digest_of(content)).content == content


@pytest.mark.parametrize("source", ["docker.io/library/alpine:3", "Team/App", "a" * 300, "..", "%2f", "é"])
def test_blob_of_a_name_that_is_none_is_to_be_sent(repository: Repository, source: str) -> None:
    """Clients name where they have it from, which may be another registry."""
    digest = repository.push_blob(noise(SMALL_BYTES))

    assert repository.start_upload(mount=digest, **{"from": source}).status_code == 202


def test_blob_that_another_repository_than_named_has_is_to_be_sent(
    repository: Repository, other_repository: Repository
) -> None:
    elsewhere = repository.push_image()
    started = other_repository.start_upload(mount=elsewhere.digest, **{"from": other_repository.name})

    assert started.status_code == 202


def test_manifest_does_not_reach_into_other_repositories(repository: Repository, other_repository: Repository) -> None:
    pushed = repository.push_image("v1")
    refused = other_repository.put_manifest(pushed, "v1")

    assert (refused.status_code, code_of(refused)) == (400, "MANIFEST_BLOB_UNKNOWN")
    for entry in (pushed_descriptor for pushed_descriptor in _blobs(repository, "v1")):
        assert other_repository.start_upload(mount=entry, **{"from": repository.name}).status_code == 201
    assert other_repository.put_manifest(pushed, "v1").status_code == 201


def _blobs(repository: Repository, tag: str) -> list[str]:
    document = repository.manifest(tag).json()
    return [document["config"]["digest"], *(layer["digest"] for layer in document["layers"])]
