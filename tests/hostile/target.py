"""The server under attack: its address and its credentials, its data directory and its log."""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.hostile.wire import Answer, Connection, Headers, request
from tests.peers.entrepot import Entrepot

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
SMALL_BYTES_MAX = 128 * 1024
"""What the registry may keep in its database; anything larger is a file of its own."""
MANIFEST_BYTES_MAX = 4 * 1024 * 1024
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DEFECT_SIGNS = ("unexpected error", "Traceback", "panicked", "protocol failure")
"""What only a defect writes into the log."""


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def sha512(content: bytes) -> str:
    return f"sha512:{hashlib.sha512(content).hexdigest()}"


def basic(name: str, password: str) -> str:
    """The value of an Authorization header."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@dataclass
class Target:
    """Requests are the administrator's unless they are said to be somebody else's."""

    server: Entrepot
    _log_read: int = field(default=0)

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def data(self) -> Path:
        return self.server.data

    @property
    def authorization(self) -> str:
        return basic(self.server.username, self.server.password)

    def connect(self) -> Connection:
        return Connection(self.port)

    def exchange(self, data: bytes, *, finish: bool = False) -> list[Answer]:
        """Send bytes, and read until the server closes the connection."""
        with self.connect() as connection:
            connection.send(data)
            if finish:
                connection.finish_sending()
            return connection.answers()

    def ask(
        self,
        method: str,
        target: str | bytes,
        headers: Headers = (),
        body: bytes = b"",
        *,
        authorization: str | None = "",
    ) -> Answer:
        """One request over a connection of its own; `authorization` None is nobody's."""
        with self.connect() as connection:
            connection.send(self.request(method, target, headers, body, authorization=authorization))
            answer = connection.answer(head=method == "HEAD")
        assert answer is not None, f"{method} {target!r} was not answered"
        return answer

    def request(
        self,
        method: str,
        target: str | bytes,
        headers: Headers = (),
        body: bytes = b"",
        *,
        authorization: str | None = "",
        close: bool = True,
    ) -> bytes:
        """The bytes that `ask` sends."""
        all_headers: list[tuple[str, str | bytes]] = [("Connection", "close")] if close else []
        if authorization is not None:
            all_headers.append(("Authorization", authorization or self.authorization))
        return request(method, target, [*all_headers, *headers], body)

    def start_upload(self, repository: str) -> str:
        """The address of a new upload."""
        answer = self.ask("POST", f"/v2/{repository}/blobs/uploads/")
        assert answer.status == 202, answer
        return answer.header("location") or ""

    def push_blob(self, repository: str, content: bytes) -> str:
        """The digest of a blob that the repository has now."""
        digest = sha256(content)
        answer = self.ask("POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", body=content)
        assert answer.status == 201, answer
        return digest

    def push_manifest(
        self, repository: str, reference: str, document: object, media_type: str = OCI_MANIFEST
    ) -> Answer:
        """Push a manifest; bytes are sent as they are, anything else as JSON."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        headers = [("Content-Type", media_type)] if media_type else []
        return self.ask("PUT", f"/v2/{repository}/manifests/{reference}", headers, body)

    def is_alive(self) -> bool:
        """Whether it still answers, and neither it nor a worker of it has died meanwhile."""
        self.server.server.check_alive()
        return self.ask("GET", "/healthz", authorization=None).status == 200

    def new_defects(self) -> list[str]:
        """Lines of the log since the last call that only a defect writes."""
        with self.server.log_path.open("rb") as log:
            log.seek(self._log_read)
            lines = log.read()
            self._log_read = log.tell()
        text = lines.decode("utf-8", "replace").splitlines()
        return [line for line in text if any(sign in line for sign in DEFECT_SIGNS)]


@dataclass(frozen=True)
class Image:
    """An image that is there; `manifest` can be altered and pushed again under another tag."""

    repository: str
    config: bytes
    layer: bytes
    manifest: dict[str, Any]
    tag: str = "held"

    @property
    def payload(self) -> bytes:
        return json.dumps(self.manifest).encode()

    @property
    def digest(self) -> str:
        return sha256(self.payload)

    def with_changes(self, **changes: Any) -> dict[str, Any]:
        """The manifest's document with these members instead."""
        return {**self.manifest, **changes}


def descriptor(content: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": sha256(content), "size": len(content)}


def push_image(target: Target, repository: str, salt: str = "") -> Image:
    """Push a small image, and answer it."""
    config, layer = f'{{"salt":"{salt}"}}'.encode(), f"layer {salt}".encode() * 10
    for content in (config, layer):
        target.push_blob(repository, content)
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(config, OCI_CONFIG),
        "layers": [descriptor(layer, OCI_LAYER)],
    }
    image = Image(repository, config, layer, document)
    assert target.push_manifest(repository, image.tag, image.payload).status == 201
    return image


def padded(image: Image, size: int) -> bytes:
    """The image's manifest with an annotation that makes it this many bytes."""
    start = image.payload[:-1] + b', "annotations": {"padding": "'
    return start + b"x" * (size - len(start) - 3) + b'"}}'
