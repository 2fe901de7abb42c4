"""Manifests that look odd and are right all the same: they are kept byte for byte."""

import json
from typing import Any

import pytest

from tests.hostile.remains import remains
from tests.hostile.target import (
    MANIFEST_BYTES_MAX,
    OCI_MANIFEST,
    Image,
    Target,
    descriptor,
    padded,
    sha256,
)

NON_DISTRIBUTABLE_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
NON_DISTRIBUTABLE = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"


def test_manifest_of_exactly_the_limit_is_kept_as_it_is(target: Target, image: Image) -> None:
    payload = padded(image, MANIFEST_BYTES_MAX)
    digest = sha256(payload)
    assert target.push_manifest("hostile/held", digest, payload).status == 201
    answer = target.ask("GET", f"/v2/{image.repository}/manifests/{digest}")
    assert (answer.status, answer.body) == (200, payload)
    assert target.ask("DELETE", f"/v2/{image.repository}/manifests/{digest}").status == 202


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param(lambda layer: [layer] * 10_000, id="same-layer"),
        pytest.param(lambda _: [descriptor(b"elsewhere", NON_DISTRIBUTABLE_LAYER)], id="non-distributable"),
        pytest.param(lambda _: [{**descriptor(b"elsewhere", NON_DISTRIBUTABLE), "size": 0}], id="nondistributable"),
        pytest.param(
            lambda layer: [
                {**layer, "mediaType": NON_DISTRIBUTABLE_LAYER, "digest": f"sha256:{number:064x}"}
                for number in range(10_000)
            ],
            id="non-distributable-layers",
        ),
        pytest.param(lambda layer: [{**layer, "urls": ["ftp://[", 5], "data": "not base64"}], id="members"),
        pytest.param(lambda layer: [{**layer, "mediaType": None}], id="no-media-type"),
        pytest.param(lambda _: [], id="no-layers"),
    ],
)
def test_manifest_with_odd_layers_is_kept_as_it_is(target: Target, image: Image, layers: Any) -> None:
    before = remains(target.data)
    document = image.with_changes(layers=layers(image.manifest["layers"][0]))
    payload = json.dumps(document, separators=(",", ":")).encode()
    answer = target.push_manifest(image.repository, "odd", payload)
    assert answer.status == 201, answer.body[:500]
    assert target.ask("GET", f"/v2/{image.repository}/manifests/odd").body == payload
    assert target.ask("DELETE", f"/v2/{image.repository}/manifests/{sha256(payload)}").status == 202
    assert remains(target.data) == before


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(lambda text: text.replace("{", "{\n\t ").encode(), id="spaces"),
        pytest.param(lambda text: (text + " " * 1000).encode(), id="spaces-after"),
        pytest.param(lambda text: text.replace("layers", "\\u006cayers").encode(), id="escaped-key"),
        pytest.param(lambda text: text.replace(OCI_MANIFEST, "").encode(), id="no-media-type"),
        pytest.param(
            lambda text: (
                text[:-1] + ', "annotations": {"\\ud83d\\ude00": "\u00e9\U0001f600", "": "", "A": "1", "a": "2"}}'
            ).encode(),
            id="annotations",
        ),
        pytest.param(lambda text: (text[:-1] + ', "x": 1e400, "y": -0, "Z": [[[[{}]]]]}').encode(), id="unknown"),
    ],
)
def test_manifest_in_odd_json_is_kept_as_it_is(target: Target, image: Image, payload: Any) -> None:
    content = payload(image.payload.decode())
    answer = target.push_manifest(image.repository, "odd", content, OCI_MANIFEST + "; charset=utf-8")
    assert answer.status == 201, answer.body[:500]
    read = target.ask("GET", f"/v2/{image.repository}/manifests/odd")
    assert (read.body, read.header("content-type")) == (content, OCI_MANIFEST)
    assert target.ask("DELETE", f"/v2/{image.repository}/manifests/{sha256(content)}").status == 202


def test_annotations_of_a_referrer_come_back_as_json(target: Target, image: Image) -> None:
    annotations = {'quote"': "back\\slash", "tag": "</script>\u2028\u0001\x7f", "emoji": "\U0001f600", "": ""}
    document = image.with_changes(subject=descriptor(image.payload, OCI_MANIFEST), annotations=annotations)
    payload = json.dumps(document).encode()
    assert target.push_manifest(image.repository, sha256(payload), payload).status == 201
    listed = target.ask("GET", f"/v2/{image.repository}/referrers/{image.digest}").json["manifests"]
    assert [entry["annotations"] for entry in listed] == [annotations]
    assert target.ask("DELETE", f"/v2/{image.repository}/manifests/{sha256(payload)}").status == 202
