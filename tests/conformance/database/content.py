"""Manifests and blobs for rows; no bytes are stored anywhere."""

import json
import secrets
from collections.abc import Sequence

from sqlalchemy import Connection

from entrepot.access.rights import Visible
from entrepot.content import blobs, manifests, repositories, tags
from entrepot.content.repositories import Reader
from entrepot.oci import media_types
from entrepot.oci.digest import Digest
from entrepot.oci.manifest import ManifestDocument
from entrepot.oci.name import RepositoryName, Tag
from entrepot.principal import Principal
from entrepot.storage.store import StoredBlob

REPOSITORY = RepositoryName("team/app")
EVERYTHING = Reader(Visible(everything=True))
"""Who may read all repositories."""
ALICE = Principal("local", "alice", user_id=7)
NOW_MS = 1_700_000_000_000

# In the order of their bytes: what the protocol means by lexical order.
NAMES_IN_BYTE_ORDER = ("0", "10", "2", "a", "a-b", "a-b/c", "a.b", "a/b", "a0", "a__b", "a_b", "ab", "b")
TAGS_IN_BYTE_ORDER = (
    "0",
    "1.0",
    "1.0-rc",
    "10",
    "A",
    "B-1",
    "Z",
    "_",
    "_a",
    "a",
    "a-1",
    "a.1",
    "a1",
    "aA",
    "a_1",
    "aa",
)


def blob(content: bytes = b"") -> StoredBlob:
    """Metadata of a blob with this content, at a location that no other has."""
    return StoredBlob(Digest.of(content), len(content), f"uploads/{secrets.token_hex(8)}.{secrets.token_hex(4)}")


def descriptor(content: bytes, media_type: str = "application/octet-stream") -> dict[str, object]:
    return {"mediaType": media_type, "digest": Digest.of(content), "size": len(content)}


def image(
    config: bytes = b"{}",
    layers: Sequence[bytes] = (),
    *,
    subject: Digest | None = None,
    artifact_type: str | None = None,
    annotations: dict[str, str] | None = None,
) -> ManifestDocument:
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_MANIFEST,
        "config": descriptor(config, "application/vnd.oci.image.config.v1+json"),
        "layers": [descriptor(layer) for layer in layers],
    }
    if subject is not None:
        document["subject"] = {"mediaType": media_types.OCI_MANIFEST, "digest": subject, "size": 1}
    if artifact_type is not None:
        document["artifactType"] = artifact_type
    if annotations is not None:
        document["annotations"] = annotations
    return ManifestDocument.parse(json.dumps(document).encode(), media_types.OCI_MANIFEST)


def index(children: Sequence[ManifestDocument]) -> ManifestDocument:
    document = {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_INDEX,
        "manifests": [descriptor(child.payload, child.media_type) for child in children],
    }
    return ManifestDocument.parse(json.dumps(document).encode(), media_types.OCI_INDEX)


def digest_of(document: ManifestDocument) -> Digest:
    return Digest.of(document.payload)


def link(connection: Connection, repository: RepositoryName, *contents: bytes) -> None:
    """The repository has blobs with these contents."""
    for content in contents:
        blobs.record(connection, repository, blob(content), NOW_MS)


def push(
    connection: Connection,
    document: ManifestDocument,
    *names: str,
    repository: RepositoryName = REPOSITORY,
    sparse: bool = False,
    by: Principal = ALICE,
) -> int:
    """Keep the manifest under these tags; answers its row's number."""
    recorded = manifests.record(
        connection,
        repository,
        digest_of(document),
        document,
        pushed_by=by,
        sparse=sparse,
        now_ms=NOW_MS,
    )
    new = 0
    for name in names:
        new += tags.point(
            connection, repository, recorded.repository_id, Tag(name), recorded.manifest_id, by, NOW_MS
        ).is_new
    repositories.count(connection, recorded.repository_id, manifests=int(recorded.is_new), tags=new)
    return recorded.manifest_id


def push_image(connection: Connection, document: ManifestDocument, *names: str) -> int:
    """The same, and the blobs it needs too."""
    for needed in document.blobs:
        blobs.record(
            connection, REPOSITORY, StoredBlob(needed.digest, needed.descriptor.size, secrets.token_hex(16)), NOW_MS
        )
    return push(connection, document, *names)
