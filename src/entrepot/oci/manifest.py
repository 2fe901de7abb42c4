"""Reads a manifest as pushed: which content it needs, what it is about. Knows nothing of what is stored.

The bytes are the manifest: they are kept as received, and everything here is derived from them. Whatever two JSON
parsers could read differently (duplicate keys, keys that differ by case from a known one, non-numbers) is refused, so
that what is checked here is what a client will see.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn, Self

from entrepot.errors import Unsupported
from entrepot.oci import media_types
from entrepot.oci.digest import Digest
from entrepot.oci.errors import DigestInvalid, ManifestInvalid

MANIFEST_BYTES_MAX = 4 * 1024 * 1024
OBJECTS_MAX, VALUES_MAX = 50_000, 200_000
DESCRIPTORS_MAX = 10_000
"""Of layers, or of manifests in an index: each is looked up, and becomes a row."""
"""4 MiB of descriptors have fewer. 4 MiB of empty objects would hold a worker for 0.8 s, these hold it for 0.2 s."""
MEDIA_TYPE_CHARACTERS_MAX = 255
SIZE_MAX = 2**63 - 1
INTEGER_CHARACTERS_MAX = 400
"""More digits than the largest number that any JSON parser keeps; Python would take a second for a million of them."""

_KNOWN_KEYS = {
    key.casefold(): key
    for key in (
        *("schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "blobs", "subject"),
        *("annotations", "digest", "size", "urls", "data", "platform"),
    )
}


class ManifestUnsupported(Unsupported):
    code = "manifest_unsupported"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A reference to content (OCI image specification, descriptor.md). `size` is in bytes."""

    media_type: str
    digest: Digest
    size: int


class Kind(StrEnum):
    """What a manifest needs something as. OTHER is a blob of an artifact, or one that an index lists."""

    CONFIG = "config"
    LAYER = "layer"
    OTHER = "other"
    MANIFEST = "manifest"


@dataclass(frozen=True, slots=True)
class Edge:
    """Something that a manifest lists. `position` counts from 0, in the order in which the manifest lists all of them.

    What is not `required` need not be in the repository: layers that are not distributed.
    """

    position: int
    kind: Kind
    descriptor: Descriptor

    @property
    def digest(self) -> Digest:
        return self.descriptor.digest

    @property
    def required(self) -> bool:
        if self.kind in {Kind.CONFIG, Kind.MANIFEST}:
            return True
        return not media_types.is_non_distributable(self.descriptor.media_type)


@dataclass(frozen=True, slots=True)
class ManifestDocument:
    """A manifest's bytes and what was read from them. `edges` are what it lists, in its order."""

    payload: bytes
    media_type: str
    artifact_type: str | None
    subject: Descriptor | None
    edges: tuple[Edge, ...]
    annotations: dict[str, str]

    @classmethod
    def parse(cls, payload: bytes, content_type: str) -> Self:
        """Raises ManifestInvalid, or ManifestUnsupported for a kind of manifest that this registry does not keep."""
        document = _load(payload)
        media_type = _media_type(document, content_type)
        if not _is_integer(document.get("schemaVersion"), 2) and media_type != media_types.OCI_ARTIFACT:
            raise ManifestInvalid("schemaVersion must be 2")
        edges = _edges(document, media_type)
        subject = document.get("subject")
        return cls(
            payload=payload,
            media_type=media_type,
            artifact_type=_artifact_type(document, media_type),
            subject=None if subject is None else _descriptor(subject, "subject"),
            edges=tuple(edges),
            annotations=_annotations(document),
        )

    @property
    def blobs(self) -> tuple[Edge, ...]:
        return tuple(edge for edge in self.edges if edge.kind is not Kind.MANIFEST)

    @property
    def children(self) -> tuple[Edge, ...]:
        """Manifests that an index lists."""
        return tuple(edge for edge in self.edges if edge.kind is Kind.MANIFEST)

    def referrer_descriptor(self, digest: Digest) -> bytes:
        """This manifest's entry in a referrers list, as JSON ("Listing Referrers")."""
        entry: dict[str, object] = {"mediaType": self.media_type, "digest": digest, "size": len(self.payload)}
        if self.artifact_type:
            entry["artifactType"] = self.artifact_type
        if self.annotations:
            entry["annotations"] = self.annotations
        return json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode()


def _load(payload: bytes) -> dict[str, Any]:
    # Not a parse: a comma in a text counts, too. What is counted is what takes time, and all others wait for it.
    if payload.count(b"{") + payload.count(b"[") > OBJECTS_MAX or payload.count(b",") > VALUES_MAX:
        raise ManifestInvalid(f"the manifest contains more than {OBJECTS_MAX} objects or {VALUES_MAX} values")
    try:
        document = json.loads(
            payload.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_no_constant, parse_int=_integer
        )
    except ManifestInvalid:
        raise
    except RecursionError:
        raise ManifestInvalid("the manifest is nested too deeply") from None
    except ValueError as error:
        raise ManifestInvalid(f"the manifest is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ManifestInvalid("the manifest is not a JSON object")
    _check_key_case(document, "the manifest")
    return document


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ManifestInvalid("the manifest has an object with the same key twice")
    return members


def _integer(digits: str) -> int:
    if len(digits) > INTEGER_CHARACTERS_MAX:
        raise ManifestInvalid(f"the manifest has a number of {len(digits)} digits, which no client can read")
    return int(digits)


def _no_constant(constant: str) -> NoReturn:
    raise ManifestInvalid(f"the manifest has {constant}, which is not JSON")


def _check_key_case(members: dict[str, Any], where: str) -> None:
    """Go's JSON parser ignores case: a key that only differs by case would mean one thing here and another there."""
    for key in members:
        if _KNOWN_KEYS.get(key.casefold(), key) != key:
            raise ManifestInvalid(f"{where} has the key {key[:50]!r}: write it {_KNOWN_KEYS[key.casefold()]!r}")


def _media_type(document: dict[str, Any], content_type: str) -> str:
    declared = content_type.partition(";")[0].strip().lower()
    written = document.get("mediaType")
    if written is not None and not isinstance(written, str):
        raise ManifestInvalid("mediaType must be a string")
    if written and declared and written.lower() != declared:
        raise ManifestInvalid(
            f"the Content-Type is {declared[:100]!r} but the manifest's mediaType is {written[:100]!r}: send the same"
        )
    media_type = written or declared or _inferred_media_type(document)
    if media_type in media_types.SCHEMA1 or _is_integer(document.get("schemaVersion"), 1):
        raise ManifestUnsupported("Docker schema 1 manifests are not supported: push with a client newer than 2016")
    if media_type not in media_types.MANIFESTS:
        raise ManifestInvalid(
            f"the manifest's media type {media_type[:100]!r} is not known: use an OCI image manifest or index, "
            "or a Docker schema 2 manifest or list (other content goes into an OCI image manifest with an artifactType)"
        )
    return media_type


def _inferred_media_type(document: dict[str, Any]) -> str:
    return media_types.OCI_INDEX if "manifests" in document else media_types.OCI_MANIFEST


def _edges(document: dict[str, Any], media_type: str) -> list[Edge]:
    if media_type in media_types.INDEXES:
        _refuse(document, media_type, "config", "layers")
        entries = _descriptors(document, "manifests")
        return [Edge(position, _kind_in_index(entry), entry) for position, entry in enumerate(entries)]
    _refuse(document, media_type, "manifests")
    if media_type == media_types.OCI_ARTIFACT:
        entries = _descriptors(document, "blobs")
        return [Edge(position, Kind.OTHER, entry) for position, entry in enumerate(entries)]
    config = Edge(0, Kind.CONFIG, _descriptor(document.get("config"), "config"))
    layers = _descriptors(document, "layers")
    return [config, *(Edge(position, Kind.LAYER, layer) for position, layer in enumerate(layers, 1))]


def _kind_in_index(entry: Descriptor) -> Kind:
    """BuildKit's caches are indexes of layers, with a configuration."""
    return Kind.MANIFEST if entry.media_type in media_types.MANIFESTS | {""} else Kind.OTHER


def _refuse(document: dict[str, Any], media_type: str, *keys: str) -> None:
    for key in keys:
        if key in document:
            raise ManifestInvalid(f"a manifest of type {media_type} cannot have {key!r}")


def _descriptors(document: dict[str, Any], key: str) -> list[Descriptor]:
    """A list that is absent or null has nothing in it, to every parser: encoders write an empty one so."""
    members = document.get(key)
    if members is None:
        return []
    if not isinstance(members, list):
        raise ManifestInvalid(f"{key!r} must be a list of descriptors")
    if len(members) > DESCRIPTORS_MAX:
        raise ManifestInvalid(f"{key!r} has {len(members)} descriptors: at most {DESCRIPTORS_MAX} are allowed")
    return [_descriptor(member, f"{key}[{position}]") for position, member in enumerate(members)]


def _descriptor(member: object, where: str) -> Descriptor:
    if not isinstance(member, dict):
        raise ManifestInvalid(f"{where} must be a descriptor: an object with mediaType, digest and size")
    _check_key_case(member, where)
    digest, size, media_type = member.get("digest"), member.get("size"), member.get("mediaType")
    if not isinstance(digest, str):
        raise ManifestInvalid(f"{where} has no digest")
    _check_text(digest, f"{where}.digest")
    try:
        parsed = Digest.parse(digest)
    except DigestInvalid as error:
        raise ManifestInvalid(f"{where}: {error.message}", error.detail) from None
    if size is None:
        size = 0  # What encoders leave out, and parsers put in.
    if type(size) is not int or not 0 <= size <= SIZE_MAX:
        raise ManifestInvalid(f"{where} has no valid size in bytes")
    return Descriptor(_text(media_type, f"{where}.mediaType") or "", parsed, size)


def _artifact_type(document: dict[str, Any], media_type: str) -> str | None:
    """What kind of artifact this is: its own word, else for an image the config's type ("Listing Referrers")."""
    artifact_type = _text(document.get("artifactType"), "artifactType")
    if not artifact_type and media_type in media_types.IMAGES:
        artifact_type = _text(document["config"].get("mediaType"), "config.mediaType")
    return artifact_type or None


def _annotations(document: dict[str, Any]) -> dict[str, str]:
    annotations = document.get("annotations")
    if annotations is None:
        return {}
    if not isinstance(annotations, dict):
        raise ManifestInvalid("annotations must be an object of strings")
    for key, value in annotations.items():
        _check_text(key, "an annotation's key")
        if not isinstance(value, str):
            raise ManifestInvalid(f"the annotation {key[:50]!r} must be a string")
        _check_text(value, f"the annotation {key[:50]!r}")
    return annotations


def _is_integer(value: object, expected: int) -> bool:
    """Whether a client takes the value for this number: Python alone takes 2.0 and true for integers too."""
    return type(value) is int and value == expected


def _text(value: object, where: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ManifestInvalid(f"{where} must be a string")
    if len(value) > MEDIA_TYPE_CHARACTERS_MAX:
        raise ManifestInvalid(f"{where} is longer than {MEDIA_TYPE_CHARACTERS_MAX} characters")
    _check_text(value, where)
    return value


def _check_text(value: str, where: str) -> None:
    """Neither database can hold half a surrogate pair, and PostgreSQL no NUL."""
    if "\x00" in value or not _encodable(value):
        raise ManifestInvalid(f"{where} has a character that is not allowed")


def _encodable(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
