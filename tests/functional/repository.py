"""A repository as one client sees it: the requests of the distribution API, and content to push."""

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LARGE_BYTES = 3 * 1024 * 1024 + 7
"""A blob that is stored, sent in pieces, and fetched from the object store."""
SMALL_BYTES = 1000
"""A blob that is kept in the database."""


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def noise(size: int = LARGE_BYTES) -> bytes:
    """Content that nobody else pushes."""
    return secrets.token_bytes(size)


@dataclass(frozen=True)
class Manifest:
    """A manifest's bytes, and what it is pushed as."""

    payload: bytes
    media_type: str

    @property
    def digest(self) -> str:
        return digest_of(self.payload)

    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.payload)}


def manifest(media_type: str = MANIFEST, **fields: object) -> Manifest:
    return Manifest(json.dumps({"schemaVersion": 2, "mediaType": media_type, **fields}).encode(), media_type)


def descriptor(content: bytes, media_type: str = LAYER) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def image(config: bytes, layers: Sequence[bytes], **fields: object) -> Manifest:
    return manifest(config=descriptor(config, CONFIG), layers=[descriptor(layer) for layer in layers], **fields)


@dataclass(frozen=True)
class Repository:
    """Every method answers the response as it is, whatever its status."""

    client: httpx.Client
    name: str

    def by(self, client: httpx.Client) -> "Repository":
        """The same, as another client sees it."""
        return replace(self, client=client)

    @property
    def path(self) -> str:
        return f"/v2/{self.name}"

    # Blobs

    def start_upload(self, **query: str) -> httpx.Response:
        return self.client.post(f"{self.path}/blobs/uploads/", params=query)

    def new_upload(self, **query: str) -> str:
        """The address of an upload that was started."""
        started = self.start_upload(**query)
        assert started.status_code == 202, started.text
        return started.headers["location"]

    def send(self, address: str, content: bytes | Iterable[bytes], start: int | None = None) -> httpx.Response:
        """PATCH; with `start`, it says which bytes these are."""
        headers = {"content-type": "application/octet-stream"}
        if start is not None:
            assert isinstance(content, bytes)
            headers["content-range"] = f"{start}-{start + len(content) - 1}"
        return self.client.patch(address, content=content, headers=headers)

    def finish(self, address: str, digest: str, content: bytes | Iterable[bytes] = b"") -> httpx.Response:
        return self.client.put(address, params={"digest": digest}, content=content)

    def push_blob(self, content: bytes, algorithm: str = "sha256") -> str:
        """In the way of most clients: POST, PATCH, PUT; answers the digest."""
        address = self.new_upload()
        sent = self.send(address, content)
        assert sent.status_code == 202, sent.text
        digest = digest_of(content, algorithm)
        finished = self.finish(sent.headers["location"], digest)
        assert finished.status_code == 201, finished.text
        return digest

    def blob(self, digest: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> httpx.Response:
        return self.client.request(method, f"{self.path}/blobs/{digest}", headers=headers)

    def has_blob(self, digest: str) -> bool:
        return self.blob(digest, "HEAD").status_code == 200

    # Manifests

    def put_manifest(
        self, content: Manifest, reference: str | None = None, headers: Mapping[str, str] | None = None, **query: object
    ) -> httpx.Response:
        """Under a tag, or under its digest."""
        return self.client.put(
            f"{self.path}/manifests/{reference or content.digest}",
            params=query,  # type: ignore[arg-type]
            content=content.payload,
            headers={"content-type": content.media_type, **(headers or {})},
        )

    def push_manifest(self, content: Manifest, reference: str | None = None) -> httpx.Response:
        answer = self.put_manifest(content, reference)
        assert answer.status_code == 201, answer.text
        return answer

    def push_image(self, reference: str | None = None, layers: int = 1, **fields: object) -> Manifest:
        """An image like no other."""
        config, contents = noise(SMALL_BYTES), [noise(SMALL_BYTES) for _ in range(layers)]
        for content in (config, *contents):
            self.push_blob(content)
        pushed = image(config, contents, **fields)
        self.push_manifest(pushed, reference)
        return pushed

    def manifest(self, reference: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> httpx.Response:
        return self.client.request(method, f"{self.path}/manifests/{reference}", headers=headers)

    def delete_manifest(self, reference: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        return self.client.delete(f"{self.path}/manifests/{reference}", headers=headers)

    # Lists

    def tags(self, **query: str | int) -> httpx.Response:
        return self.client.get(f"{self.path}/tags/list", params=query)

    def referrers(self, digest: str, **query: str | int) -> httpx.Response:
        return self.client.get(f"{self.path}/referrers/{digest}", params=query)


def pages(client: httpx.Client, first: httpx.Response) -> list[Any]:
    """The bodies of a list's pages, as the Link headers lead from one to the next."""
    bodies = [first.json()]
    answer = first
    while "next" in answer.links:
        answer = client.get(answer.links["next"]["url"])
        assert answer.status_code == 200, answer.text
        bodies.append(answer.json())
    return bodies


def code_of(answer: httpx.Response) -> str:
    """The first error's code."""
    code: str = answer.json()["errors"][0]["code"]
    return code


def new_app(client: httpx.Client, namespace: str) -> Repository:
    """One in this namespace that nobody has pushed to."""
    return Repository(client, f"{namespace}/app-{secrets.token_hex(3)}")
