"""Manifests: what is read from the right ones, and that all others are refused and nothing else happens."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.oci import media_types
from entrepot.oci.digest import Digest
from entrepot.oci.errors import ManifestInvalid
from entrepot.oci.manifest import (
    DESCRIPTORS_MAX,
    SIZE_MAX,
    Descriptor,
    Edge,
    Kind,
    ManifestDocument,
    ManifestUnsupported,
)
from tests.budgets import budget

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_NON_DISTRIBUTABLE = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
NON_DISTRIBUTABLE = "application/vnd.oci.image.layer.nondistributable.v1.tar"
A, B, C = (Digest.of(content) for content in (b"a", b"b", b"c"))


def described(digest: str = A, media_type: str = LAYER, size: object = 1, **more: object) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest, "size": size, **more}


def image(**changes: object) -> dict[str, Any]:
    document = {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_MANIFEST,
        "config": described(A, CONFIG),
        "layers": [described(B)],
    }
    return {key: value for key, value in {**document, **changes}.items() if value is not ...}


def index(**changes: object) -> dict[str, Any]:
    document = {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_INDEX,
        "manifests": [described(C, media_types.OCI_MANIFEST)],
    }
    return {key: value for key, value in {**document, **changes}.items() if value is not ...}


def parse(document: object, content_type: str = "") -> ManifestDocument:
    return ManifestDocument.parse(json.dumps(document).encode(), content_type)


def test_image_when_valid_is_read_whole() -> None:
    document = image(
        layers=[described(B, size=2), described(C, DOCKER_NON_DISTRIBUTABLE, 3), described(C, NON_DISTRIBUTABLE, 4)],
        subject=described(C, media_types.OCI_MANIFEST, 5),
        annotations={"é": "✓"},
    )
    parsed = parse(document)

    assert parsed.media_type == media_types.OCI_MANIFEST
    assert parsed.blobs == (
        Edge(0, Kind.CONFIG, Descriptor(CONFIG, A, 1)),
        Edge(1, Kind.LAYER, Descriptor(LAYER, B, 2)),
        Edge(2, Kind.LAYER, Descriptor(DOCKER_NON_DISTRIBUTABLE, C, 3)),
        Edge(3, Kind.LAYER, Descriptor(NON_DISTRIBUTABLE, C, 4)),
    )
    assert [edge.required for edge in parsed.blobs] == [True, True, False, False]
    assert parsed.children == ()
    assert parsed.subject == Descriptor(media_types.OCI_MANIFEST, C, 5)
    assert parsed.artifact_type == CONFIG
    assert parsed.annotations == {"é": "✓"}


def test_index_when_valid_has_children_and_no_blobs() -> None:
    parsed = parse(index(artifactType="application/x"))

    assert parsed.children == (Edge(0, Kind.MANIFEST, Descriptor(media_types.OCI_MANIFEST, C, 1)),)
    assert parsed.blobs == ()
    assert parsed.artifact_type == "application/x"


def test_artifact_when_valid_needs_no_schema_version() -> None:
    parsed = parse({"mediaType": media_types.OCI_ARTIFACT, "artifactType": "a/b", "blobs": [described()]})

    assert parsed.blobs == (Edge(0, Kind.OTHER, Descriptor(LAYER, A, 1)),)
    assert parsed.artifact_type == "a/b"


def test_index_of_layers_has_blobs_beside_its_children() -> None:
    """As BuildKit's caches are."""
    entries = [described(A, LAYER), described(B, media_types.OCI_MANIFEST), {"digest": C, "size": 1}]
    cache_config = described(C, "application/vnd.buildkit.cacheconfig.v0")
    parsed = parse(index(manifests=[*entries, cache_config]))

    assert [(edge.position, edge.digest) for edge in parsed.children] == [(1, B), (2, C)]
    assert [(edge.position, edge.kind, edge.digest) for edge in parsed.blobs] == [
        (0, Kind.OTHER, A),
        (3, Kind.OTHER, C),
    ]
    assert all(edge.required for edge in parsed.blobs)


@pytest.mark.parametrize("absent", [..., None, []])
def test_list_that_is_absent_or_null_is_empty(absent: object) -> None:
    """What every parser reads alike (decision 0010)."""
    assert len(parse(image(layers=absent)).blobs) == 1
    assert parse(index(manifests=absent), media_types.OCI_INDEX).children == ()
    artifact = {"mediaType": media_types.OCI_ARTIFACT, "artifactType": "a/b", "blobs": absent}
    assert parse({key: value for key, value in artifact.items() if value is not ...}).blobs == ()


def test_size_that_is_absent_is_none() -> None:
    """An encoder that leaves out zeros writes the empty blob's descriptor so."""
    for absent in ({"digest": A, "mediaType": LAYER}, described(A, size=None)):
        assert parse(image(layers=[absent])).blobs[1].descriptor == Descriptor(LAYER, A, 0)


@pytest.mark.parametrize(
    ("document", "content_type", "expected"),
    [
        (image(mediaType=...), "", media_types.OCI_MANIFEST),
        (index(mediaType=...), "", media_types.OCI_INDEX),
        (image(mediaType=...), media_types.DOCKER_MANIFEST, media_types.DOCKER_MANIFEST),
        (index(mediaType=...), media_types.DOCKER_LIST, media_types.DOCKER_LIST),
        (image(), media_types.OCI_MANIFEST + "; charset=utf-8", media_types.OCI_MANIFEST),
        (image(), media_types.OCI_MANIFEST.upper(), media_types.OCI_MANIFEST),
        (image(mediaType=""), "", media_types.OCI_MANIFEST),
    ],
)
def test_media_type_of_a_manifest_is_declared_written_or_inferred(
    document: object, content_type: str, expected: str
) -> None:
    assert parse(document, content_type).media_type == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (image(artifactType="a/b"), "a/b"),
        (image(artifactType=""), CONFIG),
        (image(config=described(A, "x/y")), "x/y"),
        (image(config={"digest": A, "size": 1}), None),
        (index(), None),
    ],
)
def test_artifact_type_of_a_manifest_is_its_own_or_the_configs(document: object, expected: str | None) -> None:
    assert parse(document).artifact_type == expected


def test_subject_without_a_size_is_taken() -> None:
    assert parse(image(subject={"digest": C})).subject == Descriptor("", C, 0)


INVALID = {
    "list": [],
    "null": None,
    "number": 1,
    "empty": {},
    "no-schema-version": image(schemaVersion=...),
    "schema-version-3": image(schemaVersion=3),
    "schema-version-float": image(schemaVersion=2.0),
    "schema-version-text": image(schemaVersion="2"),
    "schema-version-true": index(schemaVersion=True),
    "media-type-number": image(mediaType=5),
    "media-type-unknown": image(mediaType="application/json"),
    "no-config": image(config=...),
    "config-null": image(config=None),
    "config-list": image(config=[]),
    "config-text": image(config="x"),
    "layers-object": image(layers={}),
    "layer-null": image(layers=[None]),
    "layer-empty": image(layers=[{}]),
    "layer-digest-number": image(layers=[described(digest=5)]),  # type: ignore[arg-type]
    "layer-digest-upper": image(layers=[described("sha256:" + "A" * 64)]),
    "layer-digest-surrogate": image(layers=[described("\ud800")]),
    "layer-size-negative": image(layers=[described(size=-1)]),
    "layer-size-float": image(layers=[described(size=1.0)]),
    "layer-size-true": image(layers=[described(size=True)]),
    "layer-size-text": image(layers=[described(size="1")]),
    "layer-size-too-large": image(layers=[described(size=SIZE_MAX + 1)]),
    "layer-media-type-number": image(layers=[described(media_type=5)]),  # type: ignore[arg-type]
    "layer-media-type-long": image(layers=[described(media_type="a" * 256)]),
    "layer-media-type-nul": image(layers=[described(media_type="a\x00")]),
    "layer-key-case": image(layers=[described(Digest=A)]),
    "image-with-manifests": image(manifests=[]),
    "index-with-layers": index(layers=[]),
    "index-with-config": index(config=described()),
    "subject-text": image(subject=A),
    "subject-size-negative": image(subject={"digest": C, "size": -1}),
    "artifact-type-number": image(artifactType=5),
    "artifact-type-long": image(artifactType="a" * 256),
    "annotations-list": image(annotations=[]),
    "annotation-number": image(annotations={"a": 1}),
    "annotation-null": image(annotations={"a": None}),
    "annotation-nul": image(annotations={"a": "\x00"}),
    "annotation-key-nul": image(annotations={"\x00": "a"}),
    "annotation-surrogate": image(annotations={"a": "\ud800"}),
    "key-case": image(MediaType=media_types.OCI_MANIFEST),
    "key-folded": {**image(), "\u017fubject": described()},
}


@pytest.mark.parametrize("document", INVALID.values(), ids=INVALID)
def test_manifest_with_a_wrong_member_is_refused(document: object) -> None:
    with pytest.raises(ManifestInvalid):
        parse(document)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b" ",
        b"{",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1,"a":1}',
        b'{"x":{"a":1,"a":1}}',
        b'{"a":' + b"1" * 401 + b"}",
        b'{"a":-' + b"1" * 1_000_000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":"\n"}',
        b"{}{}",
        b"{'a':1}",
    ],
    ids=lambda payload: repr(payload[:20]),
)
def test_manifest_that_parsers_could_read_differently_is_refused(payload: bytes) -> None:
    with pytest.raises(ManifestInvalid):
        ManifestDocument.parse(payload, media_types.OCI_MANIFEST)


@pytest.mark.parametrize("content_type", [media_types.OCI_INDEX, "text/plain", "x"])
def test_manifest_sent_as_another_type_is_refused(content_type: str) -> None:
    with pytest.raises(ManifestInvalid):
        parse(image(), content_type)


@pytest.mark.parametrize(
    ("document", "content_type"),
    [
        ({"schemaVersion": 1, "name": "a", "tag": "b"}, ""),
        ({"schemaVersion": 1}, media_types.DOCKER_SCHEMA1_SIGNED),
        ({}, media_types.DOCKER_SCHEMA1),
        (image(mediaType=media_types.DOCKER_SCHEMA1), ""),
    ],
)
def test_manifest_of_schema_1_is_not_supported(document: object, content_type: str) -> None:
    with pytest.raises(ManifestUnsupported):
        parse(document, content_type)


def test_referrer_descriptor_of_an_image_says_what_clients_filter_by() -> None:
    parsed = parse(image(annotations={"a": "é"}, artifactType="a/b"))
    digest = Digest.of(parsed.payload)

    assert json.loads(parsed.referrer_descriptor(digest)) == {
        "mediaType": media_types.OCI_MANIFEST,
        "digest": digest,
        "size": len(parsed.payload),
        "artifactType": "a/b",
        "annotations": {"a": "é"},
    }


def test_referrer_descriptor_of_a_bare_index_has_no_empty_members() -> None:
    parsed = parse(index())

    assert set(json.loads(parsed.referrer_descriptor(Digest.of(parsed.payload)))) == {"mediaType", "digest", "size"}


_words = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
_descriptors = st.builds(
    described,
    digest=st.binary(max_size=4).flatmap(
        lambda content: st.sampled_from(["sha256", "sha512"]).map(lambda algorithm: Digest.of(content, algorithm))
    ),
    media_type=st.sampled_from([LAYER, DOCKER_NON_DISTRIBUTABLE, NON_DISTRIBUTABLE, "x/y", media_types.OCI_MANIFEST]),
    size=st.integers(0, SIZE_MAX),
)
_common: dict[str, Any] = {
    "subject": st.one_of(st.just(...), _descriptors),
    "annotations": st.one_of(st.just(...), st.dictionaries(_words, _words, max_size=3)),
    "artifactType": st.one_of(st.just(...), _words),
}
_valid = st.one_of(
    st.builds(image, config=_descriptors, layers=st.lists(_descriptors, max_size=4), **_common),
    st.builds(index, manifests=st.lists(_descriptors, max_size=4), **_common),
)
_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(st.text(max_size=5), st.sampled_from(["digest", "size", "mediaType", "a"])), inner, max_size=4
        ),
    ),
    max_leaves=10,
)
_member = st.sampled_from(
    ["schemaVersion", "mediaType", "config", "layers", "manifests", "subject", "annotations", "artifactType", "x"]
)


def _read(member: dict[str, Any]) -> Descriptor:
    return Descriptor(member["mediaType"], member["digest"], member["size"])


@given(_valid)
@budget(100)
def test_manifest_of_any_valid_content_is_read_as_it_was_written(document: dict[str, Any]) -> None:
    payload = json.dumps(document).encode()

    parsed = ManifestDocument.parse(payload, document["mediaType"])

    listed = [document["config"], *document["layers"]] if "config" in document else document["manifests"]
    assert parsed.payload == payload
    assert parsed.media_type == document["mediaType"]
    edges = sorted((*parsed.blobs, *parsed.children), key=lambda edge: edge.position)
    assert [edge.descriptor for edge in edges] == [_read(member) for member in listed]
    assert [edge.position for edge in edges] == list(range(len(listed)))
    for edge in parsed.blobs:
        elsewhere = (
            edge.descriptor.media_type in {DOCKER_NON_DISTRIBUTABLE, NON_DISTRIBUTABLE} and edge.kind is not Kind.CONFIG
        )
        assert edge.required is not elsewhere
    assert parsed.subject == (_read(document["subject"]) if "subject" in document else None)
    assert parsed.annotations == document.get("annotations", {})
    entry = json.loads(parsed.referrer_descriptor(Digest.of(payload)))
    assert entry.get("annotations", {}) == parsed.annotations
    assert entry.get("artifactType") == parsed.artifact_type
    assert ManifestDocument.parse(payload, "") == parsed


@given(st.one_of(st.binary(max_size=100), st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace"))))
@budget(100)
def test_manifest_of_any_bytes_is_parsed_or_refused(payload: bytes) -> None:
    for content_type in ("", media_types.OCI_MANIFEST, media_types.OCI_INDEX, media_types.OCI_ARTIFACT):
        try:
            ManifestDocument.parse(payload, content_type)
        except (ManifestInvalid, ManifestUnsupported):
            pass


@given(_valid, _member, _json, st.text(max_size=30))
@budget(100)
def test_manifest_with_any_one_member_changed_is_parsed_or_refused(
    document: dict[str, Any], key: str, value: object, content_type: str
) -> None:
    payload = json.dumps({**document, key: value}).encode()
    for declared in ("", content_type):
        try:
            parsed = ManifestDocument.parse(payload, declared)
        except (ManifestInvalid, ManifestUnsupported):
            continue
        assert json.loads(parsed.referrer_descriptor(Digest.of(payload)))["size"] == len(payload)


@pytest.mark.parametrize(("count", "is_kept"), [(DESCRIPTORS_MAX, True), (DESCRIPTORS_MAX + 1, False)])
def test_manifest_of_very_many_descriptors_is_refused(count: int, is_kept: bool) -> None:
    for document in (image(layers=[described(B)] * count), index(manifests=[described(C)] * count)):
        if is_kept:
            parse(document)
            continue
        with pytest.raises(ManifestInvalid, match="at most"):
            parse(document)
