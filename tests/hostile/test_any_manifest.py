"""Any manifest: a right one, changed in its structure until it is not, or still is."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from tests.budgets import budget
from tests.hostile.answers import assert_well_formed
from tests.hostile.remains import remains
from tests.hostile.target import OCI_INDEX, OCI_MANIFEST, Image, Target, descriptor, push_image, sha256

REPOSITORY = "fuzz/manifests"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
NON_DISTRIBUTABLE_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
CODES = {"MANIFEST_INVALID", "MANIFEST_BLOB_UNKNOWN", "UNSUPPORTED"}
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


@dataclass
class Raw:
    """Written into the JSON as it is."""

    text: str


@dataclass
class Members:
    """An object, in which a key can come twice."""

    pairs: list[tuple[str, Any]] = field(default_factory=list)


Step = tuple[str, int, Any]
"""What is done, where (the how manieth place of the document), and with what."""

_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 100),
    st.sampled_from([2**31, 2**53, 2**63 - 1, 2**63, 10**30, 2.0, 1.5]),
    st.sampled_from(
        ["", "a", "a\x00", "\ud800", "\u00e9", OCI_MANIFEST, OCI_INDEX, NON_DISTRIBUTABLE_LAYER, "a" * 300]
    ),
    st.sampled_from([sha256(b"nobody has this"), sha256(b"x").upper(), "sha256:", "LAYER", "CONFIG", "CHILD"]),
    st.sampled_from(
        ["NaN", "Infinity", "-0", "1e400", "01", "0x1", '"\\ud83d"', "[" * 2000 + "]" * 2000, "//", ""]
    ).map(Raw),
)
_values = st.one_of(
    _scalars,
    st.lists(_scalars, max_size=3),
    st.lists(st.tuples(st.sampled_from(["digest", "size", "mediaType", "x"]), _scalars), max_size=4).map(Members),
)
_keys = st.sampled_from(
    [
        *("schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "blobs", "subject"),
        *("annotations", "digest", "size", "urls", "data", "platform", "Layers", "SIZE", "Digest"),
        *("x", "", "\u017fize", "\ud800"),
    ]
)
_steps = st.lists(
    st.tuples(st.sampled_from(["replace", "remove", "add", "twice", "rename", "repeat"]), st.integers(0, 60), _values),
    min_size=1,
    max_size=3,
)
_content_types = st.one_of(
    st.just("SAME"), st.sampled_from(["", "application/json", OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST])
)


@dataclass(frozen=True)
class Ground:
    """What the repository has, and the manifests that are changed."""

    image: Image
    sizes: dict[str, int]
    bases: tuple[dict[str, Any], ...]


@pytest.fixture
def ground(target: Target) -> Ground:
    image = push_image(target, REPOSITORY, "ground")
    child = descriptor(image.payload, OCI_MANIFEST)
    elsewhere = {**descriptor(b"elsewhere", NON_DISTRIBUTABLE_LAYER), "urls": ["https://example.test/layer"]}
    bases = (
        image.manifest,
        image.with_changes(mediaType=DOCKER_MANIFEST, layers=[elsewhere, *image.manifest["layers"]]),
        image.with_changes(subject=child, artifactType="a/b", annotations={"a": "b"}),
        {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child], "annotations": {"a": "b"}},
        {"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [{**child, "platform": {"os": "linux"}}]},
    )
    contents = {sha256(content): len(content) for content in (image.config, image.layer, image.payload)}
    return Ground(image, contents, bases)


@budget(600)
@given(base=st.integers(0, 4), steps=_steps, key=_keys, content_type=_content_types)
def test_any_manifest_is_kept_as_it_is_or_refused_whole(
    target: Target, ground: Ground, base: int, steps: list[Step], key: str, content_type: str
) -> None:
    document = _members(ground.bases[base])
    for step in steps:
        document = _changed(document, step, key)
    text = _written(document)
    for word, content in (
        ("LAYER", ground.image.layer),
        ("CONFIG", ground.image.config),
        ("CHILD", ground.image.payload),
    ):
        text = text.replace(f'"{word}"', f'"{sha256(content)}"')
    payload = text.encode("utf-8", "surrogatepass")
    declared = ground.bases[base]["mediaType"] if content_type == "SAME" else content_type
    before = remains(target.data)
    answer = target.push_manifest(REPOSITORY, sha256(payload), payload, declared)
    assert_well_formed(answer)
    event(str(answer.status) if answer.status == 201 else answer.json["errors"][0]["code"])
    if answer.status == 201:
        _assert_right(ground, payload)
        path = f"/v2/{REPOSITORY}/manifests/{sha256(payload)}"
        assert target.ask("GET", path).body == payload
        if payload != ground.image.payload:
            assert target.ask("DELETE", path).status == 202
    else:
        assert answer.status == 400
        assert answer.json["errors"][0]["code"] in CODES
    assert remains(target.data) == before


def _assert_right(ground: Ground, payload: bytes) -> None:
    """What every client has to be able to rely on, found out in another way than the server does."""
    document = json.loads(payload, object_pairs_hook=_no_key_twice, parse_constant=_never)
    assert type(document["schemaVersion"]) is int
    assert document["schemaVersion"] == 2
    assert not {"config", "manifests"} <= set(document)
    listed = [*(document.get("layers") or []), *(document.get("manifests") or [])]
    if "config" in document:
        listed.append(document["config"])
    for entry in listed:
        assert _DIGEST.fullmatch(entry["digest"])
        size = 0 if entry.get("size") is None else entry["size"]
        assert type(size) is int
        if entry["digest"] in ground.sizes and "foreign" not in (entry.get("mediaType") or ""):
            assert size == ground.sizes[entry["digest"]]
        else:
            assert "foreign" in entry["mediaType"]
    for name, value in (document.get("annotations") or {}).items():
        assert isinstance(value, str)
        (name + value).encode()


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({key for key, _ in pairs}) == len(pairs)
    return dict(pairs)


def _never(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def _members(value: Any) -> Any:
    if isinstance(value, dict):
        return Members([(key, _members(inner)) for key, inner in value.items()])
    if isinstance(value, list):
        return [_members(inner) for inner in value]
    return value


def _changed(value: Any, step: Step, key: str) -> Any:
    """The document with one place of it changed."""
    places = _count(value)
    done, where, new = step
    return _rebuilt(value, [where % places], lambda old: _change(old, done, new, key))


def _change(old: Any, done: str, new: Any, key: str) -> Any:
    if isinstance(old, Members) and done != "replace":
        pairs = list(old.pairs)
        if done == "add":
            pairs.append((key, new))
        elif pairs and done == "remove":
            pairs.pop(_position(key, len(pairs)))
        elif pairs and done == "twice":
            pairs.append((pairs[0][0], new))
        elif pairs and done == "rename":
            position = _position(key, len(pairs))
            pairs[position] = (key, pairs[position][1])
        return Members(pairs)
    if isinstance(old, list) and done != "replace":
        return old[1:] if done == "remove" else old * 3 if done == "repeat" else [*old, new]
    return new


def _position(key: str, count: int) -> int:
    """A position that depends on the key, and is the same in every run."""
    return sum(map(ord, key)) % count


def _count(value: Any) -> int:
    inner = [entry for _, entry in value.pairs] if isinstance(value, Members) else value
    return 1 + (sum(map(_count, inner)) if isinstance(inner, list) else 0)


def _rebuilt(value: Any, countdown: list[int], change: Callable[[Any], Any]) -> Any:
    """Depth first: the place at which the countdown is over is changed."""
    countdown[0] -= 1
    if countdown[0] == -1:
        return change(value)
    if isinstance(value, Members):
        return Members([(key, _rebuilt(inner, countdown, change)) for key, inner in value.pairs])
    if isinstance(value, list):
        return [_rebuilt(inner, countdown, change) for inner in value]
    return value


def _written(value: Any) -> str:
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, Members):
        return "{" + ",".join(f"{json.dumps(key)}:{_written(inner)}" for key, inner in value.pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    return json.dumps(value)
