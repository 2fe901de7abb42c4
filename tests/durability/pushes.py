"""Pushes as clients make them, of images made from a seed; and what can be said of a registry afterwards."""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.clients.images import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, digest_of
from tests.durability.exchange import Answer, Connection, request
from tests.peers.registry import Registry

PIECE_BYTES = 64 * 1024
SMALL_BYTES_MAX = 16 * 1024
"""Blobs up to this size are kept in the database."""


@dataclass(frozen=True)
class Image:
    """A manifest and the blobs that it needs."""

    manifest: bytes
    blobs: tuple[bytes, ...]

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)


def make_image(chance: random.Random, *shared: bytes, layer_bytes: int = 0) -> Image:
    """A small image that no registry has seen, with these layers beside one of its own.

    Unless its size is given, that layer is kept in the database, or becomes a file in one or several writes.
    """
    sizes = (100, SMALL_BYTES_MAX, SMALL_BYTES_MAX + 1, 80_000, 1_200_000)
    layer = chance.randbytes(layer_bytes or chance.choice(sizes))
    config = json.dumps({"architecture": "amd64", "os": "linux", "number": chance.getrandbits(128)}).encode()
    return image_of(config, layer, *shared)


def image_of(config: bytes, *layers: bytes) -> Image:
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _descriptor(OCI_CONFIG, config),
        "layers": [_descriptor(OCI_LAYER, layer) for layer in layers],
    }
    return Image(json.dumps(document).encode(), (config, *layers))


def start_upload(connection: Connection, repository: str) -> str:
    """The URL of a new upload."""
    answer = connection.request("POST", f"/v2/{repository}/blobs/uploads/")
    assert answer.status == 202, answer
    return answer.headers["location"]


def finishing(location: str, content: bytes) -> str:
    """The URL that makes the upload a blob."""
    return f"{location}?digest={digest_of(content)}"


def push_at_once(connection: Connection, repository: str, content: bytes) -> Answer:
    """A blob in one request."""
    return connection.request("POST", f"/v2/{repository}/blobs/uploads/?digest={digest_of(content)}", content)


def push_in_two(connection: Connection, repository: str, content: bytes) -> Answer:
    """A blob as POST and PUT."""
    location = start_upload(connection, repository)
    return connection.request("PUT", finishing(location, content), content)


def push_in_pieces(connection: Connection, repository: str, content: bytes) -> Answer:
    """A blob as docker sends it: POST, PATCH, and a PUT without a body."""
    location = start_upload(connection, repository)
    patched = connection.request("PATCH", location, content)
    if patched.status != 202:
        return patched
    return connection.request("PUT", finishing(patched.headers["location"], content))


PUSHES = (push_at_once, push_in_two, push_in_pieces)


def put_manifest(connection: Connection, repository: str, reference: str, manifest: bytes) -> Answer:
    return connection.request(
        "PUT", f"/v2/{repository}/manifests/{reference}", manifest, {"Content-Type": OCI_MANIFEST}
    )


def push_image(connection: Connection, repository: str, tag: str, image: Image) -> None:
    """All of an image, which has to be taken."""
    for blob in image.blobs:
        answer = push_at_once(connection, repository, blob)
        assert answer.status == 201, answer
    answer = put_manifest(connection, repository, tag, image.manifest)
    assert answer.status == 201, answer


def get_manifest(connection: Connection, repository: str, reference: str) -> Answer:
    return connection.request("GET", f"/v2/{repository}/manifests/{reference}", headers={"Accept": OCI_MANIFEST})


def get_blob(connection: Connection, repository: str, digest: str, method: str = "GET") -> Answer:
    return connection.request(method, f"/v2/{repository}/blobs/{digest}")


def assert_image_pulls(connection: Connection, repository: str, reference: str, image: Image) -> None:
    """The reference leads to this image, and every byte of it comes back."""
    manifest = get_manifest(connection, repository, reference)
    assert (manifest.status, manifest.body) == (200, image.manifest), reference
    for blob in image.blobs:
        pulled = get_blob(connection, repository, digest_of(blob))
        assert (pulled.status, pulled.body) == (200, blob), digest_of(blob)


@dataclass
class Acknowledged:
    """What the registry has said yes to, by what it was asked for."""

    blobs: set[tuple[str, str]] = field(default_factory=set)
    images: dict[tuple[str, str], Image] = field(default_factory=dict)

    def assert_there(self, registry: Registry) -> None:
        """Every manifest, tag and blob comes back, with the bytes that its digest says."""
        with Connection(registry) as connection:
            for (repository, reference), image in self.images.items():
                assert_image_pulls(connection, repository, reference, image)
                assert_image_pulls(connection, repository, image.digest, image)
            for repository, digest in self.blobs:
                pulled = get_blob(connection, repository, digest)
                assert pulled.status == 200, (repository, digest, pulled)
                assert digest_of(pulled.body) == digest


def patch_range(location: str, registry: Registry, content: bytes, start: int) -> Answer:
    """Send the rest of the content, from this byte on."""
    headers = {"Content-Range": f"{start}-{len(content) - 1}", "Content-Type": "application/octet-stream"}
    return request(registry, "PATCH", location, content[start:], headers)


@contextmanager
def half_sent(registry: Registry, method: str, path: str, content: bytes, sent: int) -> Iterator[Connection]:
    """A request in the hands of the server: the first `sent` bytes of its body are on their way, the others are not."""
    with Connection(registry) as connection:
        connection.begin(method, path, length=len(content), headers={"Expect": "100-continue"})
        connection.await_continue()
        for start in range(0, sent, PIECE_BYTES):
            connection.send(content[start : min(start + PIECE_BYTES, sent)])
        yield connection


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}
