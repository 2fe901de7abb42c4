"""Reads what a registry holds with plain HTTP requests, to compare with what a client sent."""

import json

from tests.clients.images import MANIFESTS, Descriptor, digest_of
from tests.peers.registry import Registry


def registry_content(registry: Registry, repository: str, reference: str) -> dict[str, bytes]:
    """All manifests and blobs that `reference` leads to, each found to be what its digest says."""
    content: dict[str, bytes] = {}
    with registry.client() as client:

        def fetch(kind: str, reference: str) -> bytes:
            response = client.get(
                f"/v2/{repository}/{kind}/{reference}",
                headers={"Accept": ", ".join(MANIFESTS)},
            )
            response.raise_for_status()
            digest = digest_of(response.content)
            assert response.headers.get("Docker-Content-Digest", digest) == digest
            content[digest] = response.content
            return response.content

        unread = [fetch("manifests", reference)]
        while unread:
            manifest = json.loads(unread.pop())
            for descriptor in _descriptors(manifest):
                is_manifest = descriptor["mediaType"] in MANIFESTS
                blob = fetch("manifests" if is_manifest else "blobs", descriptor["digest"])
                assert len(blob) == descriptor["size"]
                assert descriptor["digest"] in content
                if is_manifest:
                    unread.append(blob)
    return content


def manifest_digest(registry: Registry, repository: str, reference: str) -> str:
    """The digest of the manifest's bytes as the registry gives them out."""
    with registry.client() as client:
        response = client.get(
            f"/v2/{repository}/manifests/{reference}",
            headers={"Accept": ", ".join(MANIFESTS)},
        )
        response.raise_for_status()
        return digest_of(response.content)


def _descriptors(manifest: dict[str, list[Descriptor]]) -> list[Descriptor]:
    if "manifests" in manifest:
        return manifest["manifests"]
    config: Descriptor = manifest["config"]  # type: ignore[assignment]
    return [config, *manifest["layers"]]
