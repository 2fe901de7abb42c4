"""Content goes when it is not needed, and not before."""

import pytest

from tests.functional.repository import (
    INDEX,
    LARGE_BYTES,
    SMALL_BYTES,
    Repository,
    code_of,
    digest_of,
    image,
    manifest,
    noise,
)
from tests.functional.setups import SetUp


def test_tag_goes_and_its_manifest_stays(set_up: SetUp, repository: Repository) -> None:
    pushed = repository.push_image("v1")
    repository.push_manifest(pushed, "v2")

    assert repository.delete_manifest("v1").status_code == 202
    assert set_up.soon(lambda: repository.manifest("v1").status_code == 404)
    assert repository.manifest("v2").status_code == 200
    assert repository.manifest(pushed.digest).status_code == 200
    assert repository.tags().json()["tags"] == ["v2"]
    assert code_of(repository.delete_manifest("v1")) == "MANIFEST_UNKNOWN"


def test_manifest_goes_with_its_tags(set_up: SetUp, repository: Repository) -> None:
    pushed = repository.push_image("v1")
    repository.push_manifest(pushed, "v2")
    for reference in ("v1", "v2", pushed.digest):
        assert repository.manifest(reference).status_code == 200

    assert repository.delete_manifest(pushed.digest).status_code == 202
    for reference in ("v1", "v2", pushed.digest):
        assert set_up.soon(lambda reference=reference: repository.manifest(reference).status_code == 404)
    assert repository.tags().json()["tags"] == []
    assert repository.delete_manifest(pushed.digest).status_code == 404


@pytest.mark.parametrize("size", [SMALL_BYTES, LARGE_BYTES])
def test_blob_goes_from_one_repository_only(
    set_up: SetUp, repository: Repository, other_repository: Repository, size: int
) -> None:
    content = noise(size)
    digest = digest_of(content)
    for target in (repository, other_repository):
        target.push_blob(content)
        assert target.blob(digest).status_code == 200

    assert repository.client.delete(f"{repository.path}/blobs/{digest}").status_code == 202
    assert set_up.soon(lambda: repository.blob(digest).status_code == 404)
    assert repository.client.delete(f"{repository.path}/blobs/{digest}").status_code == 404
    assert other_repository.blob(digest).content == content


def test_blob_that_an_image_needs_stays(repository: Repository) -> None:
    config = noise(SMALL_BYTES)
    digest = repository.push_blob(config)
    pushed = image(config, [])
    repository.push_manifest(pushed, "v1")

    refused = repository.client.delete(f"{repository.path}/blobs/{digest}")
    assert (refused.status_code, code_of(refused)) == (409, "DENIED")
    assert repository.blob(digest).content == config
    repository.delete_manifest(pushed.digest)
    assert repository.client.delete(f"{repository.path}/blobs/{digest}").status_code == 202
    assert repository.put_manifest(pushed, "v1").status_code == 400


def test_deleted_image_can_be_pushed_again(repository: Repository) -> None:
    config = noise(SMALL_BYTES)
    pushed = image(config, [])
    for _ in range(2):
        digest = repository.push_blob(config)
        repository.push_manifest(pushed, "v1")
        assert repository.manifest("v1").content == pushed.payload
        repository.delete_manifest(pushed.digest)
        assert repository.client.delete(f"{repository.path}/blobs/{digest}").status_code == 202


def test_platform_of_a_tagged_image_stays(repository: Repository) -> None:
    """Cleaners that look for what has no tag would break the image for everybody on that platform."""
    child = repository.push_image()
    repository.push_manifest(manifest(INDEX, manifests=[child.descriptor()]), "v1")

    refused = repository.delete_manifest(child.digest)
    assert (refused.status_code, code_of(refused)) == (409, "DENIED")
    assert refused.json()["errors"][0]["detail"]["tag"] == "v1"
    assert repository.manifest(child.digest).content == child.payload
    assert repository.delete_manifest("v1").status_code == 202
    assert repository.delete_manifest(child.digest).status_code == 202
