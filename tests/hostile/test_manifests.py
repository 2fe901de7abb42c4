"""Manifests that are none, that lie, or that no parser is to be trusted with."""

from typing import Any

import pytest

from entrepot.oci.manifest import DESCRIPTORS_MAX
from tests.hostile.answers import assert_refused
from tests.hostile.target import (
    MANIFEST_BYTES_MAX,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    Image,
    Target,
    descriptor,
    padded,
    sha256,
    sha512,
)

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"
DOCKER_SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"
NON_DISTRIBUTABLE_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
HALF_A_PAIR = "\ud800"

pytestmark = pytest.mark.usefixtures("nothing_left")

NOT_DOCUMENTS = {
    "nothing": b"",
    "millions-of-values": b'{"schemaVersion":2,"layers":[' + b"{}," * 1_000_000 + b"{}]}",
    "space": b" \r\n\t",
    "word": b"manifest",
    "html": b"<html></html>",
    "number": b"2",
    "string": b'"manifest"',
    "null": b"null",
    "list": b"[]",
    "list-of-manifests": b"[{}]",
    "cut": b'{"schemaVersion": 2, "layers": [',
    "two": b"{}{}",
    "comment": b'{} // "schemaVersion": 2',
    "trailing-comma": b'{"schemaVersion": 2,}',
    "single-quotes": b"{'schemaVersion': 2}",
    "nul-after": b'{"schemaVersion": 2}\x00',
    "byte-order-mark": b'\xef\xbb\xbf{"schemaVersion": 2}',
    "utf-16": '{"schemaVersion": 2}'.encode("utf-16"),
    "utf-32": '{"schemaVersion": 2}'.encode("utf-32"),
    "not-utf-8": b'{"schemaVersion": 2, "annotations": {"a": "\xff"}}',
    "surrogates-in-utf-8": b'{"schemaVersion": 2, "annotations": {"a": "\xed\xa0\x80"}}',
    "overlong-utf-8": b'{"schemaVersion": 2, "annotations": {"a": "\xc0\x80"}}',
    "raw-control": b'{"schemaVersion": 2, "annotations": {"a": "\x01"}}',
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00C\xbf\xa6\xa3\x02\x00\x00\x00",
    "deep-lists": b"[" * 100_000,
    "deep-lists-closed": b"[" * 100_000 + b"]" * 100_000,
    "deep-objects": b'{"a":' * 100_000,
    "deep-inside": b'{"schemaVersion": 2, "annotations": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deeper": b"[" * (MANIFEST_BYTES_MAX - 1),
    "not-a-number": b'{"schemaVersion": NaN}',
    "infinite": b'{"schemaVersion": 2, "layers": [Infinity]}',
    "minus-infinite": b'{"schemaVersion": 2, "x": -Infinity}',
    "hexadecimal": b'{"schemaVersion": 0x2}',
    "leading-zero": b'{"schemaVersion": 02}',
    "digits": b'{"schemaVersion": ' + b"2" * 1_000_000 + b"}",
    "digits-elsewhere": b'{"schemaVersion": 2, "x": -' + b"9" * 1_000_000 + b"}",
}
NOT_SCHEMA_2: dict[str, object] = {
    "missing": None,
    "zero": 0,
    "three": 3,
    "negative": -2,
    "float": 2.0,
    "string": "2",
    "true": True,
    "list": [2],
    "huge": 10**300,
}
NOT_SIZES: dict[str, object] = {
    "missing": None,
    "negative": -1,
    "one-less": -2,
    "float": 60.0,
    "fraction": 0.5,
    "exponent": 1e300,
    "true": True,
    "string": "60",
    "list": [60],
    "object": {},
    "over-64-bits": 2**63,
    "huge": 10**390,
}
NOT_DIGESTS: dict[str, object] = {
    "missing": None,
    "number": 5,
    "list": [],
    "empty": "",
    "short": "sha256:00",
    "upper-case": sha256(b"x").upper(),
    "unknown": "md5:d41d8cd98f00b204e9800998ecf8427e",
    "half-a-pair": HALF_A_PAIR,
    "half-a-pair-inside": f"sha256:{HALF_A_PAIR}",
    "nul": "sha256:\x00",
    "path": "../../../etc/passwd",
    "long": "sha256:" + "0" * 1_000_000,
}
NOT_DESCRIPTORS: dict[str, object] = {
    "null": None,
    "string": sha256(b"x"),
    "number": 1,
    "list": [],
    "empty": {},
    "true": True,
}
NOT_LISTS: dict[str, object] = {"object": {}, "string": "layers", "number": 1, "true": True}
NOT_TEXTS: dict[str, object] = {
    "number": 1,
    "list": ["a"],
    "object": {},
    "true": True,
    "nul": "a\x00b",
    "half-a-pair": HALF_A_PAIR,
    "256-characters": "a" * 256,
    "1000000-characters": "a" * 1_000_000,
}


@pytest.mark.parametrize("payload", NOT_DOCUMENTS.values(), ids=NOT_DOCUMENTS)
def test_manifest_that_is_no_json_object_is_refused(target: Target, image: Image, payload: bytes) -> None:
    for content_type in (OCI_MANIFEST, OCI_INDEX, "", "application/json"):
        answer = target.push_manifest(image.repository, "bad", payload, content_type)
        assert_refused(answer, 400, "MANIFEST_INVALID")
        assert len(answer.body) < 10_000


@pytest.mark.parametrize("version", NOT_SCHEMA_2.values(), ids=NOT_SCHEMA_2)
def test_manifest_of_another_schema_is_refused(target: Target, image: Image, version: object) -> None:
    document = image.with_changes(schemaVersion=version)
    if version is None:
        del document["schemaVersion"]
    assert_refused(target.push_manifest(image.repository, "bad", document), 400, "MANIFEST_INVALID")


@pytest.mark.parametrize("content_type", [DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED, "application/json", ""])
def test_manifest_of_schema_1_is_not_supported(target: Target, image: Image, content_type: str) -> None:
    document = {"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": [], "history": [], "signatures": []}
    assert_refused(target.push_manifest(image.repository, "bad", document, content_type), 400, "UNSUPPORTED")


@pytest.mark.parametrize(
    ("declared", "written"),
    [
        (OCI_INDEX, OCI_MANIFEST),
        (OCI_MANIFEST, OCI_INDEX),
        (DOCKER_MANIFEST, OCI_MANIFEST),
        (OCI_MANIFEST, OCI_MANIFEST.upper()),
        (OCI_MANIFEST, " " + OCI_MANIFEST),
        (OCI_MANIFEST, OCI_MANIFEST + "; charset=utf-8"),
        (OCI_MANIFEST, 1),
        (OCI_MANIFEST, [OCI_MANIFEST]),
        (OCI_MANIFEST, HALF_A_PAIR),
        ("application/json", OCI_MANIFEST),
        ("text/html", ""),
        ("a" * 100_000, ""),
        ("", "application/json"),
        ("", HALF_A_PAIR),
        ("", "a" * 1_000_000),
    ],
)
def test_manifest_with_a_media_type_that_lies_is_refused(
    target: Target, image: Image, declared: str, written: object
) -> None:
    document = image.with_changes(mediaType=written)
    answer = target.push_manifest(image.repository, "bad", document, declared)
    assert_refused(answer, 400, "MANIFEST_INVALID")
    assert len(answer.body) < 10_000


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST])
@pytest.mark.parametrize("member", ["config", "layers"])
def test_index_with_members_of_an_image_is_refused(target: Target, image: Image, media_type: str, member: str) -> None:
    document = {"schemaVersion": 2, "mediaType": media_type, "manifests": [], member: image.manifest[member]}
    assert_refused(target.push_manifest(image.repository, "bad", document, media_type), 400, "MANIFEST_INVALID")


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST])
def test_image_with_members_of_an_index_is_refused(target: Target, image: Image, media_type: str) -> None:
    for manifests in ([], None, [descriptor(image.payload, OCI_MANIFEST)]):
        document = image.with_changes(mediaType=media_type, manifests=manifests)
        assert_refused(target.push_manifest(image.repository, "bad", document, media_type), 400, "MANIFEST_INVALID")


@pytest.mark.parametrize("wrong", NOT_LISTS.values(), ids=NOT_LISTS)
def test_manifest_with_layers_that_are_no_list_is_refused(target: Target, image: Image, wrong: object) -> None:
    for document, media_type in (
        (image.with_changes(layers=wrong), OCI_MANIFEST),
        ({"schemaVersion": 2, "manifests": wrong}, OCI_INDEX),
    ):
        document["mediaType"] = media_type
        answer = target.push_manifest(image.repository, "bad", document, media_type)
        assert_refused(answer, 400, "MANIFEST_INVALID")


@pytest.mark.parametrize("wrong", NOT_DESCRIPTORS.values(), ids=NOT_DESCRIPTORS)
def test_manifest_with_a_descriptor_that_is_none_is_refused(target: Target, image: Image, wrong: object) -> None:
    for document, media_type in _with_descriptor(image, wrong):
        if wrong is None and document.get("subject", 0) is None:
            continue  # as good as no subject
        answer = target.push_manifest(image.repository, "bad", document, media_type)
        assert_refused(answer, 400, "MANIFEST_INVALID")


@pytest.mark.parametrize("size", NOT_SIZES.values(), ids=NOT_SIZES)
def test_manifest_with_a_size_that_is_none_is_refused(target: Target, image: Image, size: object) -> None:
    wrong = {**descriptor(image.layer, OCI_LAYER), "size": size}
    for document, media_type in _with_descriptor(image, wrong):
        if size is None and "subject" in document:
            continue  # a subject need not be known
        answer = target.push_manifest(image.repository, "bad", document, media_type)
        assert_refused(answer, 400, "MANIFEST_INVALID")
        assert len(answer.body) < 10_000


@pytest.mark.parametrize("digest", NOT_DIGESTS.values(), ids=NOT_DIGESTS)
def test_manifest_with_a_digest_that_is_none_is_refused(target: Target, image: Image, digest: object) -> None:
    wrong = {**descriptor(image.layer, OCI_LAYER), "digest": digest}
    for document, media_type in _with_descriptor(image, wrong):
        answer = target.push_manifest(image.repository, "bad", document, media_type)
        assert_refused(answer, 400, "MANIFEST_INVALID")
        assert len(answer.body) < 10_000


@pytest.mark.parametrize("text", NOT_TEXTS.values(), ids=NOT_TEXTS)
def test_manifest_with_a_media_type_that_is_none_is_refused(target: Target, image: Image, text: object) -> None:
    wrong = {**descriptor(image.layer, OCI_LAYER), "mediaType": text}
    documents = [*_with_descriptor(image, wrong), (image.with_changes(artifactType=text), OCI_MANIFEST)]
    for document, media_type in documents:
        answer = target.push_manifest(image.repository, "bad", document, media_type)
        assert_refused(answer, 400, "MANIFEST_INVALID")


@pytest.mark.parametrize(
    "annotations",
    [
        [],
        "text",
        1,
        True,
        {"a": 1},
        {"a": None},
        {"a": ["b"]},
        {"a": {"b": "c"}},
        {"a": "b\x00c"},
        {"a\x00b": "c"},
        {"a": HALF_A_PAIR},
        {HALF_A_PAIR: "a"},
        {"a": "\udfff\ud800"},
    ],
)
def test_manifest_with_annotations_that_are_none_is_refused(target: Target, image: Image, annotations: object) -> None:
    document = image.with_changes(annotations=annotations, subject=descriptor(image.payload, OCI_MANIFEST))
    assert_refused(target.push_manifest(image.repository, "bad", document), 400, "MANIFEST_INVALID")


@pytest.mark.parametrize(
    "member",
    [
        '"schemaVersion": 2',
        '"schemaVersion": 1',
        '"mediaType": "application/vnd.oci.image.index.v1+json"',
        '"layers": []',
        '"layers": null',
        '"config": {}',
        '"\\u006cayers": []',
        '"annotations": {"a": "b", "a": "c"}',
        '"annotations": {"a": "b", "\\u0061": "c"}',
        '"x": [[{"y": 1, "y": 1}]]',
    ],
)
def test_manifest_with_a_key_twice_is_refused(target: Target, image: Image, member: str) -> None:
    for payload in (image.payload[:-1] + f", {member}}}".encode(), f"{{{member}, ".encode() + image.payload[1:]):
        assert_refused(target.push_manifest(image.repository, "bad", payload), 400, "MANIFEST_INVALID")


@pytest.mark.parametrize(
    "key", ["Layers", "LAYERS", "Config", "mediatype", "SchemaVersion", "Manifests", "Subject", "annotation\u017f"]
)
def test_manifest_with_a_key_that_differs_by_case_is_refused(target: Target, image: Image, key: str) -> None:
    values: tuple[object, ...] = ([], {}, None, "x")
    for value in values:
        document = image.with_changes(**{key: value})
        assert_refused(target.push_manifest(image.repository, "bad", document), 400, "MANIFEST_INVALID")


@pytest.mark.parametrize("key", ["Digest", "SIZE", "MediaType", "\u017fize", "Urls", "DATA", "Platform"])
def test_descriptor_with_a_key_that_differs_by_case_is_refused(target: Target, image: Image, key: str) -> None:
    wrong = {**descriptor(image.layer, OCI_LAYER), key: "x"}
    for document, media_type in _with_descriptor(image, wrong):
        answer = target.push_manifest(image.repository, "bad", document, media_type)
        assert_refused(answer, 400, "MANIFEST_INVALID")


def test_manifest_with_unknown_blobs_is_refused(target: Target, image: Image) -> None:
    unknown = descriptor(b"nobody has this", OCI_LAYER)
    for changes in ({"config": unknown}, {"layers": [unknown]}, {"layers": [*image.manifest["layers"], unknown]}):
        answer = target.push_manifest(image.repository, "bad", image.with_changes(**changes))
        assert_refused(answer, 400, "MANIFEST_BLOB_UNKNOWN")


def test_manifest_with_blobs_of_another_repository_is_refused(target: Target, image: Image) -> None:
    assert_refused(target.push_manifest("hostile/other", "bad", image.payload), 400, "MANIFEST_BLOB_UNKNOWN")


def test_manifest_with_known_bytes_under_another_algorithm_is_refused(target: Target, image: Image) -> None:
    layer = {**descriptor(image.layer, OCI_LAYER), "digest": sha512(image.layer)}
    answer = target.push_manifest(image.repository, "bad", image.with_changes(layers=[layer]))
    assert_refused(answer, 400, "MANIFEST_BLOB_UNKNOWN")


def test_manifest_with_sizes_that_lie_is_refused(target: Target, image: Image) -> None:
    layer = descriptor(image.layer, OCI_LAYER)
    for size in (0, len(image.layer) - 1, len(image.layer) + 1, 2**63 - 1):
        lie = {**layer, "size": size}
        for layers in ([lie], [layer, lie], [lie, layer]):
            answer = target.push_manifest(image.repository, "bad", image.with_changes(layers=layers))
            assert_refused(answer, 400, "MANIFEST_INVALID")


def test_index_with_sizes_that_lie_is_refused(target: Target, image: Image) -> None:
    child = {**descriptor(image.payload, OCI_MANIFEST), "size": len(image.payload) + 1}
    answer = target.push_manifest(image.repository, "bad", _index([child]), OCI_INDEX)
    assert_refused(answer, 400, "MANIFEST_INVALID")


def test_index_of_unknown_manifests_is_refused(target: Target, image: Image) -> None:
    for child in (descriptor(b"nobody has this", OCI_MANIFEST), descriptor(image.layer, OCI_MANIFEST)):
        answer = target.push_manifest(image.repository, "bad", _index([child]), OCI_INDEX)
        assert_refused(answer, 400, "MANIFEST_BLOB_UNKNOWN")


def test_index_that_lists_itself_is_refused(target: Target, image: Image) -> None:
    # No manifest can have its own digest in it; one can name itself by the tag, which means nothing.
    child = {**descriptor(image.payload, OCI_INDEX), "digest": sha256(b"itself"), "urls": ["bad"]}
    answer = target.push_manifest(image.repository, "bad", _index([child]), OCI_INDEX)
    assert_refused(answer, 400, "MANIFEST_BLOB_UNKNOWN")


def test_manifest_with_very_many_unknown_blobs_is_refused(target: Target, image: Image) -> None:
    layers = [{"digest": f"sha256:{number:064x}", "size": 1} for number in range(DESCRIPTORS_MAX)]
    for document, media_type in ((image.with_changes(layers=layers), OCI_MANIFEST), (_index(layers), OCI_INDEX)):
        answer = target.push_manifest(image.repository, "bad", document, media_type)
        assert_refused(answer, 400, "MANIFEST_BLOB_UNKNOWN")
        assert answer.json["errors"][0]["detail"]["missing"] == DESCRIPTORS_MAX


def test_manifest_with_more_descriptors_than_are_kept_is_refused(target: Target, image: Image) -> None:
    layers = [{"digest": f"sha256:{number:064x}", "size": 1} for number in range(4 * DESCRIPTORS_MAX)]
    for document, media_type in ((image.with_changes(layers=layers), OCI_MANIFEST), (_index(layers), OCI_INDEX)):
        assert_refused(target.push_manifest(image.repository, "bad", document, media_type), 400, "MANIFEST_INVALID")


def test_manifest_with_a_non_distributable_config_that_is_unknown_is_refused(target: Target, image: Image) -> None:
    config = descriptor(b"nobody has this", NON_DISTRIBUTABLE_LAYER)
    answer = target.push_manifest(image.repository, "bad", image.with_changes(config=config))
    assert_refused(answer, 400, "MANIFEST_BLOB_UNKNOWN")


def test_manifest_over_the_limit_is_too_large(target: Target, image: Image) -> None:
    for size in (MANIFEST_BYTES_MAX + 1, 3 * MANIFEST_BYTES_MAX):
        answer = target.push_manifest(image.repository, "bad", padded(image, size))
        assert_refused(answer, 413, "SIZE_INVALID")


def test_manifest_that_is_announced_over_the_limit_is_too_large(target: Target, image: Image) -> None:
    for length in (MANIFEST_BYTES_MAX + 1, 2**40, 2**63 - 1):
        headers = [("Content-Length", str(length)), ("Content-Type", OCI_MANIFEST)]
        data = target.request("PUT", f"/v2/{image.repository}/manifests/bad", headers, image.payload)
        (answer,) = target.exchange(data)
        assert_refused(answer, 413, "SIZE_INVALID")


def _index(children: list[dict[str, Any]]) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children}


def _with_descriptor(image: Image, wrong: object) -> list[tuple[dict[str, Any], str]]:
    """Documents that have this as a descriptor, wherever one may be, with their media types."""
    return [
        (image.with_changes(config=wrong), OCI_MANIFEST),
        (image.with_changes(layers=[*image.manifest["layers"], wrong]), OCI_MANIFEST),
        (image.with_changes(subject=wrong), OCI_MANIFEST),
        ({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [wrong]}, OCI_INDEX),
    ]
