"""An image goes in and comes out again."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.functional.repository import (
    EMPTY,
    INDEX,
    LARGE_BYTES,
    LAYER,
    MANIFEST,
    SMALL_BYTES,
    Manifest,
    Repository,
    code_of,
    descriptor,
    digest_of,
    image,
    manifest,
    noise,
)
from tests.functional.setups import SetUp

SIZES = (0, 1, SMALL_BYTES, LARGE_BYTES)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_blob_comes_back_as_it_was_pushed(repository: Repository, size: int, algorithm: str) -> None:
    content = noise(size)
    digest = repository.push_blob(content, algorithm)

    head = repository.blob(digest, "HEAD")
    assert head.status_code == 200
    assert head.headers["docker-content-digest"] == digest
    assert int(head.headers["content-length"]) == size
    got = repository.blob(digest)
    assert got.status_code == 200
    assert got.content == content
    assert int(got.headers["content-length"]) == size


@pytest.mark.parametrize("size", SIZES)
def test_blob_sent_with_its_first_request(repository: Repository, size: int) -> None:
    content = noise(size)
    address = f"{repository.path}/blobs/uploads/"
    pushed = repository.client.post(address, params={"digest": digest_of(content)}, content=content)

    assert pushed.status_code == 201
    assert repository.blob(digest_of(content)).content == content
    assert repository.client.get(pushed.headers["location"]).content == content


@pytest.mark.parametrize("size", SIZES)
def test_blob_sent_with_its_last_request(repository: Repository, size: int) -> None:
    content = noise(size)
    finished = repository.finish(repository.new_upload(), digest_of(content), content)

    assert finished.status_code == 201
    assert finished.headers["docker-content-digest"] == digest_of(content)
    assert repository.blob(digest_of(content)).content == content


def test_blob_sent_in_pieces_of_unknown_number(repository: Repository) -> None:
    content = noise()
    pieces = (content[start : start + 32_768] for start in range(0, len(content), 32_768))
    sent = repository.send(repository.new_upload(), pieces)

    assert sent.status_code == 202
    assert repository.finish(sent.headers["location"], digest_of(content)).status_code == 201
    assert repository.blob(digest_of(content)).content == content


def test_upload_can_be_started_for_another_algorithm(repository: Repository) -> None:
    content = noise()
    started = repository.start_upload(**{"digest-algorithm": "sha512"})
    sent = repository.send(started.headers["location"], content)

    assert repository.finish(sent.headers["location"], digest_of(content, "sha512")).status_code == 201
    assert repository.blob(digest_of(content, "sha512")).content == content
    refused = repository.start_upload(**{"digest-algorithm": "md5"})
    assert (refused.status_code, code_of(refused)) == (400, "DIGEST_INVALID")


@pytest.mark.parametrize("size", [SMALL_BYTES, LARGE_BYTES])
def test_blob_that_is_known_already_can_be_pushed_again(
    repository: Repository, other_repository: Repository, size: int
) -> None:
    content = noise(size)
    for target in (repository, repository, other_repository):
        assert target.push_blob(content) == digest_of(content)

    for target in (repository, other_repository):
        assert target.blob(digest_of(content)).content == content


@pytest.mark.parametrize("size", [SMALL_BYTES, LARGE_BYTES])
def test_same_blob_pushed_by_many_at_once(repository: Repository, other_repository: Repository, size: int) -> None:
    content = noise(size)
    targets = [repository, other_repository] * 5
    with ThreadPoolExecutor(len(targets)) as threads:
        digests = set(threads.map(lambda target: target.push_blob(content), targets))

    assert digests == {digest_of(content)}
    for target in (repository, other_repository):
        assert target.blob(digest_of(content)).content == content


def test_image_is_pulled_by_tag_and_by_digest_byte_for_byte(repository: Repository) -> None:
    config, layer = noise(SMALL_BYTES), noise()
    repository.push_blob(config)
    repository.push_blob(layer)
    # Spaces, order and escapes are the client's: they must come back as they are.
    pushed = image(config, [layer], annotations={"note": "é \N{SNOWMAN}"})
    pushed = Manifest(b"\n  " + pushed.payload.replace(b": ", b"  :\t") + b"\n", pushed.media_type)
    answer = repository.push_manifest(pushed, "v1")

    assert answer.headers["docker-content-digest"] == pushed.digest
    for reference in ("v1", pushed.digest, "v1"):
        got = repository.manifest(reference)
        assert (got.status_code, got.content) == (200, pushed.payload)
        assert got.headers["content-type"] == pushed.media_type
        assert got.headers["docker-content-digest"] == pushed.digest
        head = repository.manifest(reference, "HEAD")
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) == len(pushed.payload)


def test_index_of_several_images(repository: Repository) -> None:
    children = [repository.push_image() for _ in range(3)]
    pushed = manifest(INDEX, manifests=[child.descriptor() for child in children])
    repository.push_manifest(pushed, "all")

    got = repository.manifest("all")
    assert got.headers["content-type"] == INDEX
    for entry in got.json()["manifests"]:
        assert repository.manifest(entry["digest"]).status_code == 200


def test_manifest_under_a_digest_of_another_algorithm(repository: Repository) -> None:
    config = noise(SMALL_BYTES)
    repository.push_blob(config)
    pushed = image(config, [])
    digest = f"sha512:{hashlib.sha512(pushed.payload).hexdigest()}"
    answer = repository.push_manifest(pushed, digest)

    assert answer.headers["docker-content-digest"] == digest
    got = repository.manifest(digest)
    assert (got.content, got.headers["docker-content-digest"]) == (pushed.payload, digest)


def test_manifest_with_several_tags_at_once(repository: Repository) -> None:
    config = noise(SMALL_BYTES)
    repository.push_blob(config)
    pushed = image(config, [])
    answer = repository.put_manifest(pushed, tag=["v1", "v1.2", "latest"])

    assert answer.status_code == 201
    assert answer.headers.get_list("oci-tag") == ["v1", "v1.2", "latest"]
    assert repository.tags().json()["tags"] == ["latest", "v1", "v1.2"]
    for tag in ("v1", "v1.2", "latest"):
        assert repository.manifest(tag).content == pushed.payload


def test_tag_moves_for_everybody(set_up: SetUp, repository: Repository) -> None:
    """Each request may be answered by another worker; none of them may remember the old image."""
    for _ in range(5):
        pushed = repository.push_image("latest")
        assert set_up.soon(lambda pushed=pushed: repository.manifest("latest").content == pushed.payload)


@pytest.mark.parametrize("missing", ["config", "layer"])
def test_image_whose_blob_is_missing_is_refused(repository: Repository, missing: str) -> None:
    contents = {"config": noise(SMALL_BYTES), "layer": noise(SMALL_BYTES)}
    for name, content in contents.items():
        if name != missing:
            repository.push_blob(content)
    refused = repository.put_manifest(image(contents["config"], [contents["layer"]]), "v1")

    assert (refused.status_code, code_of(refused)) == (400, "MANIFEST_BLOB_UNKNOWN")
    assert refused.json()["errors"][0]["detail"] == {"digests": [digest_of(contents[missing])], "missing": 1}
    assert repository.manifest("v1").status_code == 404


def test_error_lists_all_that_is_missing(repository: Repository) -> None:
    layers = [noise(10) for _ in range(120)]
    child = image(noise(10), [])
    entries = [child.descriptor(), *(descriptor(layer) for layer in layers)]
    for content in (image(layers[0], layers[1:]), manifest(INDEX, manifests=entries)):
        detail = repository.put_manifest(content, "v1").json()["errors"][0]["detail"]
        assert detail["missing"] == (120 if content.media_type == MANIFEST else 121)
        assert len(detail["digests"]) == 100
        assert set(detail["digests"]) <= {child.digest, *map(digest_of, layers)}


def test_cache_of_buildkit_is_an_index_of_blobs(repository: Repository) -> None:
    """Its default of long standing (`image-manifest=false`)."""
    layers = [noise(SMALL_BYTES), noise(SMALL_BYTES)]
    config = b'{"layers":[],"records":[]}' + noise(8).hex().encode()
    entries = [descriptor(layer, LAYER + "+gzip") for layer in layers]
    cache = manifest(INDEX, manifests=[*entries, descriptor(config, "application/vnd.buildkit.cacheconfig.v0")])
    refused = repository.put_manifest(cache, "cache")
    assert (refused.status_code, code_of(refused)) == (400, "MANIFEST_BLOB_UNKNOWN")
    for content in (*layers, config):
        repository.push_blob(content)

    assert repository.put_manifest(cache, "cache").status_code == 201
    assert repository.manifest("cache").content == cache.payload
    for content in (*layers, config):
        kept = repository.client.delete(f"{repository.path}/blobs/{digest_of(content)}")
        assert kept.status_code == 409


def test_descriptor_of_the_empty_blob_needs_no_size(repository: Repository) -> None:
    """Some encoders leave zeros out."""
    config, layer = noise(SMALL_BYTES), noise(SMALL_BYTES)
    for content in (config, layer, b""):
        repository.push_blob(content)
    empty, full = ({"mediaType": LAYER, "digest": digest_of(content)} for content in (b"", layer))
    docker = "application/vnd.docker.distribution.manifest.v2+json"

    for media_type in (docker, MANIFEST):
        pushed = manifest(media_type, config=descriptor(config), layers=[empty, descriptor(layer), empty])
        assert repository.put_manifest(pushed, "v1").status_code == 201
        assert repository.manifest("v1").content == pushed.payload
        refused = repository.put_manifest(manifest(media_type, config=descriptor(config), layers=[full]), "v2")
        assert (refused.status_code, code_of(refused)) == (400, "MANIFEST_INVALID")


@pytest.mark.parametrize("lists", [{}, {"layers": None}, {"layers": []}])
def test_artifact_without_layers_is_kept(repository: Repository, lists: dict[str, object]) -> None:
    repository.push_blob(b"{}")
    pushed = manifest(artifactType="application/x", config=descriptor(b"{}", EMPTY), **lists)

    assert repository.put_manifest(pushed, "v1").status_code == 201
    assert repository.manifest("v1").content == pushed.payload


def test_wrong_content_for_a_digest_is_refused(repository: Repository) -> None:
    pushed = repository.push_image()
    wrong = Manifest(pushed.payload + b" ", pushed.media_type)
    refused = repository.put_manifest(wrong, pushed.digest)

    assert (refused.status_code, code_of(refused)) == (400, "DIGEST_INVALID")


def test_what_is_not_there(repository: Repository) -> None:
    repository.push_image("v1")
    digest = digest_of(b"nothing")
    answers = {
        "MANIFEST_UNKNOWN": [repository.manifest("v2"), repository.manifest(digest)],
        "BLOB_UNKNOWN": [repository.blob(digest), repository.client.delete(f"{repository.path}/blobs/{digest}")],
        "NAME_UNKNOWN": [repository.client.get("/v2/no/such/repository/tags/list")],
    }

    for code, given in answers.items():
        for answer in given:
            assert (answer.status_code, code_of(answer)) == (404, code)


def test_tags_are_listed_in_order_and_in_pages(repository: Repository) -> None:
    pushed = repository.push_image("v1")
    names = sorted(["v1", "V1", "v-1", "v_1", "v.1", "1", "10", "2", "a" * 128], key=str.encode)
    for name in names:
        repository.push_manifest(pushed, name)

    assert repository.tags().json() == {"name": repository.name, "tags": names}
    listed: list[str] = []
    answer = repository.tags(n=2)
    while True:
        listed += answer.json()["tags"]
        if "next" not in answer.links:
            break
        answer = repository.client.get(answer.links["next"]["url"])
    assert listed == names
    assert repository.tags(n=0).json()["tags"] == []
    assert repository.tags(last="v-1").json()["tags"] == names[names.index("v-1") + 1 :]


def test_catalog_lists_repositories_in_order(
    admin: httpx.Client, repository: Repository, other_repository: Repository
) -> None:
    for target in (repository, other_repository):
        target.push_image("v1")
    listed: list[str] = []
    answer = admin.get("/v2/_catalog", params={"n": 3})
    while True:
        assert len(answer.json()["repositories"]) <= 3
        listed += answer.json()["repositories"]
        if "next" not in answer.links:
            break
        answer = admin.get(answer.links["next"]["url"])

    assert listed == sorted(listed, key=str.encode)
    assert {repository.name, other_repository.name} <= set(listed)


@pytest.mark.parametrize(
    "last",
    ["\x00", "a\x00b", "\udc80", "\U0010ffff", "a" * 5000],
    ids=["nul", "nul-inside", "half-a-surrogate", "last-character", "long"],
)
def test_list_after_any_text(repository: Repository, last: str) -> None:
    repository.push_image("v1")
    for path in (f"{repository.path}/tags/list", "/v2/_catalog"):
        answer = repository.client.get(path, params={"last": last.encode("utf-8", "surrogateescape")})  # type: ignore[dict-item]
        assert answer.status_code in {200, 400}, answer.text
