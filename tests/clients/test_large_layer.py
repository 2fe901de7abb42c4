"""A layer of more bytes than 31 bits can count goes in and comes out, and never through memory."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from tests.clients.conftest import Client
from tests.clients.images import OCI_CONFIG, OCI_MANIFEST, Descriptor, Image, digest_of
from tests.peers.registry import Registry

LAYER_BYTES = 5 * 2**29 + 12345
OVER_31_BITS = 2**31 - 8
BLOCK_BYTES = 2**20
SERVER_MEMORY_BYTES_MAX = 2**30


@pytest.fixture(scope="module")
def layout(workspace: Path) -> Iterator[Path]:
    """An image layout with one layer: mostly zeros that take no disk, with a mark here and there."""
    made = Image(root={})
    directory = workspace / "large-layer"
    layer = workspace / "large-layer.tar"
    with layer.open("wb") as file:
        file.truncate(LAYER_BYTES)
        for position in (0, OVER_31_BITS, LAYER_BYTES - 16):
            file.seek(position)
            file.write(b"mark %10d\n" % position)
    with layer.open("rb") as file:
        digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [digest]},
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": _descriptor(OCI_CONFIG, digest_of(config), len(config)),
            "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar", digest, LAYER_BYTES)],
        }
    ).encode()
    made.root = _descriptor(OCI_MANIFEST, digest_of(manifest), len(manifest))
    made.content = {digest_of(blob): blob for blob in (config, manifest)}
    made.write_layout(directory, tag="made")
    layer.rename(directory / "blobs" / digest.replace(":", "/"))
    yield directory
    (directory / "blobs" / digest.replace(":", "/")).unlink()


def _descriptor(media_type: str, digest: str, size: int) -> Descriptor:
    return {"mediaType": media_type, "digest": digest, "size": size}


def _layer_of(layout: Path) -> str:
    index = json.loads((layout / "index.json").read_text())
    manifest = layout / "blobs" / index["manifests"][0]["digest"].replace(":", "/")
    return str(json.loads(manifest.read_bytes())["layers"][0]["digest"])


def test_large_layer_sent_in_a_stream_comes_back(
    skopeo: Client, crane: Client, registry: Registry, layout: Path
) -> None:
    name = f"{registry.host}/clients/large-stream"
    skopeo(
        *("copy", "--preserve-digests", "--dest-tls-verify=false"),
        *("--dest-creds", f"{registry.username}:{registry.password}"),
        *(f"oci:{layout}:made", f"docker://{name}:made"),
    )
    crane("auth", "login", registry.host, "-u", registry.username, "-p", registry.password)
    digest = _layer_of(layout)
    assert _streamed_digest(crane, f"{name}@{digest}") == digest

    with registry.client() as client:
        last = OVER_31_BITS + 15
        part = client.get(
            f"/v2/clients/large-stream/blobs/{digest}",
            headers={"Range": f"bytes={OVER_31_BITS}-{last}"},
        )
        assert part.status_code == 206
        assert part.headers["Content-Range"] == f"bytes {OVER_31_BITS}-{last}/{LAYER_BYTES}"
        assert part.content == b"mark %10d\n" % OVER_31_BITS
    assert registry.server.peak_memory_bytes() < SERVER_MEMORY_BYTES_MAX


def test_large_layer_sent_in_one_request_comes_back(
    oras: Client, crane: Client, registry: Registry, layout: Path
) -> None:
    name = f"{registry.host}/clients/large-request"
    oras(
        *("cp", "--from-oci-layout", "--to-plain-http"),
        *("--to-username", registry.username, "--to-password", registry.password),
        *(f"{layout}:made", f"{name}:made"),
    )
    crane("auth", "login", registry.host, "-u", registry.username, "-p", registry.password)
    digest = _layer_of(layout)
    assert _streamed_digest(crane, f"{name}@{digest}") == digest
    assert registry.server.peak_memory_bytes() < SERVER_MEMORY_BYTES_MAX


def _streamed_digest(crane: Client, blob: str) -> str:
    """Pull a blob without keeping it."""
    pulled = hashlib.sha256()
    command = [str(crane.program), "blob", blob]
    with Popen(command, env=crane.environment, stdout=PIPE) as process:
        assert process.stdout
        while block := process.stdout.read(BLOCK_BYTES):
            pulled.update(block)
    assert process.returncode == 0
    return "sha256:" + pulled.hexdigest()
