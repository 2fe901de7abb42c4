"""What is pushed: random where it must be distinct, constant where that is enough."""

import hashlib
import json
import os
import random
from dataclasses import dataclass
from functools import cache

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"

BLOCK = random.Random(1).randbytes(MIB)


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes and their digest."""

    body: bytes
    digest: str

    @classmethod
    def of(cls, body: bytes) -> "Blob":
        return cls(body, "sha256:" + hashlib.sha256(body).hexdigest())


@dataclass(frozen=True, slots=True)
class Image:
    """A manifest with the blobs it names."""

    manifest: Blob
    config: Blob
    layers: tuple[Blob, ...]


@dataclass(frozen=True, slots=True)
class LargeBlob:
    """BLOCK again and again, then a random mebibyte that makes it distinct."""

    size_bytes: int
    tail: bytes
    digest: str


def random_blob(size_bytes: int) -> Blob:
    return Blob.of(os.urandom(size_bytes))


def image(layers: tuple[Blob, ...]) -> Image:
    """Return an image of these layers with a configuration of its own."""
    configuration = {"architecture": "amd64", "os": "linux", "config": {"Labels": {"build": os.urandom(16).hex()}}}
    configuration["rootfs"] = {"type": "layers", "diff_ids": [layer.digest for layer in layers]}
    config = Blob.of(json.dumps(configuration).encode())
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _descriptor(CONFIG_TYPE, config),
        "layers": [_descriptor(LAYER_TYPE, layer) for layer in layers],
    }
    return Image(Blob.of(json.dumps(manifest).encode()), config, layers)


def small_layers_image(sizes: random.Random, layers: int = 5) -> Image:
    """Return an image of random layers of 4 to 16 KiB."""
    return image(tuple(random_blob(sizes.randrange(4 * KIB, 16 * KIB)) for _ in range(layers)))


def large_blob(size_bytes: int) -> LargeBlob:
    """Return a distinct blob; only its tail is hashed anew."""
    tail = os.urandom(MIB)
    digest = _constant_part(size_bytes // MIB - 1).copy()
    digest.update(tail)
    return LargeBlob(size_bytes, tail, "sha256:" + digest.hexdigest())


@cache
def _constant_part(blocks: int) -> "hashlib._Hash":
    digest = hashlib.sha256()
    for _ in range(blocks):
        digest.update(BLOCK)
    return digest


def _descriptor(media_type: str, blob: Blob) -> dict[str, str | int]:
    return {"mediaType": media_type, "digest": blob.digest, "size": len(blob.body)}
