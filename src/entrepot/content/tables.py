"""Content by digest, and the names and edges that make it reachable.

Blobs are stored once for the whole registry; a repository can read one only through its row in repository_blobs.
Strong edges: tag to manifest, and in one table manifest or index to blob and index to child manifest. A subject is a
weak one: it may not be there.

Bytes are apart from facts: lists and checks read rows of a hundred bytes, and do not walk over payloads of thousands.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from entrepot.database.base import Id, TimestampMs, ascii_text, metadata

DIGEST_CHARACTERS_MAX = 135

repositories = Table(
    "repositories",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("name", ascii_text(255), nullable=False, unique=True),
    Column("created_at_ms", TimestampMs, nullable=False),
    # A number is never used again: what remembers it must not take another for it.
    sqlite_autoincrement=True,
)

# How much is in a repository, changed by the transaction that changes that: nothing is counted to show it.
repository_usage = Table(
    "repository_usage",
    metadata,
    Column(
        "repository_id",
        Id,
        ForeignKey("repositories.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("tags", BigInteger, nullable=False),
    Column("manifests", BigInteger, nullable=False),
    # Of the blobs that it may read.
    Column("bytes", BigInteger, nullable=False),
)

blobs = Table(
    "blobs",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("digest", ascii_text(DIGEST_CHARACTERS_MAX), nullable=False, unique=True),
    Column("size", BigInteger, nullable=False),
    # Where the store has the bytes; null where they are in blob_contents.
    Column("location", ascii_text(255), unique=True),
    Column("created_at_ms", TimestampMs, nullable=False),
    # A number is never used again: what remembers it must not take another for it.
    sqlite_autoincrement=True,
)

blob_contents = Table(
    "blob_contents",
    metadata,
    Column("blob_id", Id, ForeignKey("blobs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("content", LargeBinary, nullable=False),
)

repository_blobs = Table(
    "repository_blobs",
    metadata,
    Column("repository_id", Id, ForeignKey("repositories.id"), nullable=False),
    Column("blob_id", Id, ForeignKey("blobs.id"), nullable=False),
    # When an upload or a mount last told a client that the blob is here, within blobs.RENEWED_AFTER_MS: whoever
    # collects leaves time to push the manifest. A HEAD does not write it: whoever collects has to see to that, too.
    Column("used_at_ms", TimestampMs, nullable=False),
    PrimaryKeyConstraint("repository_id", "blob_id"),
    Index(None, "blob_id"),
    sqlite_with_rowid=False,
)

manifests = Table(
    "manifests",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("repository_id", Id, ForeignKey("repositories.id"), nullable=False),
    Column("digest", ascii_text(DIGEST_CHARACTERS_MAX), nullable=False),
    Column("media_type", String(255), nullable=False),
    Column("artifact_type", String(255)),
    Column("subject", ascii_text(DIGEST_CHARACTERS_MAX)),
    # Of the payload, in bytes.
    Column("size", Integer, nullable=False),
    # The user's number, null for nobody, which outlives a new name; and the name of that day. No foreign key: what was
    # pushed stays when the user goes, and the number is never another user's.
    Column("pushed_by_id", Id),
    Column("pushed_by", String(320), nullable=False),
    Column("pushed_at_ms", TimestampMs, nullable=False),
    UniqueConstraint("repository_id", "digest"),
    Index("ix_manifests_subject", "repository_id", "subject", "id"),
    # A number is never used again: what remembers it must not take another for it.
    sqlite_autoincrement=True,
)

manifest_contents = Table(
    "manifest_contents",
    metadata,
    Column("manifest_id", Id, ForeignKey("manifests.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    # As a list of referrers has it. Before the payload, which is not walked through to read it.
    Column("referrer_descriptor", LargeBinary),
    Column("payload", LargeBinary, nullable=False),
)

edges = Table(
    "edges",
    metadata,
    # The key's columns come first: before 3.41, SQLite's integrity check of a table without row numbers sees NULL in
    # columns that come between them.
    Column("manifest_id", Id, ForeignKey("manifests.id", ondelete="CASCADE"), nullable=False),
    # Where the manifest lists it, from 0: a configuration, then the layers; or what an index lists. The same may be
    # listed twice.
    Column("position", Integer, nullable=False),
    # config, layer, other (a blob of an artifact or an index) or manifest
    Column("kind", ascii_text(16), nullable=False),
    Column("repository_id", Id, nullable=False),
    # One of the two: a blob that the repository had when the manifest came; or the digest of a manifest, or of a blob
    # that need not be there, and may come later.
    Column("blob_id", Id),
    Column("digest", ascii_text(DIGEST_CHARACTERS_MAX)),
    PrimaryKeyConstraint("manifest_id", "position"),
    # The database itself refuses to unlink a blob that a manifest of the repository needs, whatever races.
    ForeignKeyConstraint(["repository_id", "blob_id"], ["repository_blobs.repository_id", "repository_blobs.blob_id"]),
    Index(None, "repository_id", "blob_id"),
    Index(
        "ix_edges_digest",
        "repository_id",
        "digest",
        sqlite_where=text("digest IS NOT NULL"),
        postgresql_where=text("digest IS NOT NULL"),
    ),
    sqlite_with_rowid=False,
)

tags = Table(
    "tags",
    metadata,
    Column("repository_id", Id, ForeignKey("repositories.id"), nullable=False),
    Column("name", ascii_text(128), nullable=False),
    Column("manifest_id", Id, ForeignKey("manifests.id"), nullable=False),
    Column("hidden", Boolean, nullable=False),
    # Who made it, or moved it to this manifest; as in manifests.
    Column("updated_by_id", Id),
    Column("updated_by", String(320), nullable=False),
    Column("updated_at_ms", TimestampMs, nullable=False),
    PrimaryKeyConstraint("repository_id", "name"),
    Index(None, "manifest_id"),
    sqlite_with_rowid=False,
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", ascii_text(36), primary_key=True),
    Column("owner_id", Id),
    Column("owner", ascii_text(320), nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("parts", Text, nullable=False),
    Column("cancelled", Boolean, nullable=False),
    Column("expires_at_ms", TimestampMs, nullable=False),
    # The last column, and not a table of its own: the row is there for a moment, and mostly read for this.
    Column("content", LargeBinary, nullable=False),
    Index(None, "owner"),
    Index(None, "expires_at_ms"),
)
