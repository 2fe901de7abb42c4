"""Images made here, byte by byte, so that a test knows what has to come back."""

import gzip
import hashlib
import io
import json
import platform
import secrets
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"

# Both clients and registries tell these documents from other blobs by their media types.
MANIFESTS = (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST)

HERE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
ELSEWHERE = "s390x"

Descriptor = dict[str, Any]


@dataclass(frozen=True)
class Format:
    """The media types of a family of images."""

    index: str
    manifest: str
    config: str
    layer: str


OCI = Format(OCI_INDEX, OCI_MANIFEST, OCI_CONFIG, OCI_LAYER)
DOCKER = Format(DOCKER_LIST, DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER)


@dataclass
class Image:
    """A manifest or an index with all that it refers to; `content` maps digests to bytes."""

    root: Descriptor
    content: dict[str, bytes] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        return str(self.root["digest"])

    @property
    def manifest(self) -> Any:
        return json.loads(self.content[self.digest])

    def write_layout(self, directory: Path, *, tag: str = "latest") -> Path:
        """Write an OCI image layout that holds just this image."""
        directory.mkdir()
        (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        entry = {**self.root, "annotations": {"org.opencontainers.image.ref.name": tag}}
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
        (directory / "index.json").write_text(json.dumps(index))
        for digest, content in self.content.items():
            path = directory / "blobs" / digest.replace(":", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return directory


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def read_layout(directory: Path) -> dict[str, bytes]:
    """All blobs of an OCI image layout by their digests, each found to be what its name says."""
    paths = [path for path in (directory / "blobs").glob("*/*") if path.is_file()]
    content = {f"{path.parent.name}:{path.name}": path.read_bytes() for path in paths}
    for digest, blob in content.items():
        assert digest_of(blob) == digest
    return content


def layer(files: Mapping[str, bytes]) -> bytes:
    """A compressed layer; its files may be executed."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w") as archive,
    ):
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = 0o755
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def image(
    layers: Sequence[bytes],
    *,
    format: Format = OCI,
    architecture: str = HERE,
    command: Sequence[str] = (),
    annotations: Mapping[str, str] | None = None,
) -> Image:
    """An image of these layers for one platform."""
    unpacked = [digest_of(gzip.decompress(packed)) for packed in layers]
    config = {
        "architecture": architecture,
        "os": "linux",
        "created": "2020-01-01T00:00:00Z",
        "config": {"Cmd": list(command)},
        "rootfs": {"type": "layers", "diff_ids": unpacked},
        "history": [{"created": "2020-01-01T00:00:00Z", "created_by": "tests"} for _ in layers],
    }
    made = Image(root={})
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": format.manifest,
        "config": _add(made, format.config, json.dumps(config).encode()),
        "layers": [_add(made, format.layer, packed) for packed in layers],
    }
    if annotations:
        manifest["annotations"] = dict(annotations)
    made.root = _add(made, format.manifest, json.dumps(manifest, indent=1).encode())
    return made


def index(images: Mapping[str, Image], *, format: Format = OCI) -> Image:
    """An index of images by their architectures."""
    made = Image(root={})
    entries = []
    for architecture, member in images.items():
        made.content |= member.content
        entries.append({**member.root, "platform": {"os": "linux", "architecture": architecture}})
    document = {"schemaVersion": 2, "mediaType": format.index, "manifests": entries}
    made.root = _add(made, format.index, json.dumps(document, indent=1).encode())
    return made


def unique_image(*, format: Format = OCI, architecture: str = HERE) -> Image:
    """An image of two layers that no registry has seen before; it cannot be run."""
    layers = [layer({f"data/{name}": secrets.token_bytes(100_000)}) for name in ("one", "two")]
    return image(layers, format=format, architecture=architecture)


def unique_index(*, format: Format = OCI) -> Image:
    """A multi-platform image that no registry has seen before."""
    members = {name: unique_image(format=format, architecture=name) for name in (HERE, ELSEWHERE)}
    return index(members, format=format)


def runnable_image(greeting: str, *, busybox: Path, format: Format = OCI) -> Image:
    """An image that says `greeting` when it is run."""
    programs = layer({"bin/busybox": busybox.read_bytes()})
    words = layer({"greeting": greeting.encode()})
    command = ["/bin/busybox", "cat", "/greeting"]
    return image([programs, words], format=format, command=command)


def _add(to: Image, media_type: str, content: bytes) -> Descriptor:
    digest = digest_of(content)
    to.content[digest] = content
    return {"mediaType": media_type, "digest": digest, "size": len(content)}
