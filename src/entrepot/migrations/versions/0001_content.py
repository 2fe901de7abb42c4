"""Content, uploads, users, namespaces and the feed of changes."""

import sqlalchemy as sa
from alembic import op

from entrepot.database.base import Id, ascii_text

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "blobs",
        sa.Column("id", Id, autoincrement=True, nullable=False),
        sa.Column("digest", ascii_text(135), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("location", ascii_text(255), nullable=True),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_blobs"),
        sa.UniqueConstraint("digest", name="uq_blobs_digest"),
        sa.UniqueConstraint("location", name="uq_blobs_location"),
    )
    op.create_table(
        "changes",
        sa.Column("id", Id, autoincrement=True, nullable=False),
        sa.Column("topic", ascii_text(300), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_changes"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "namespaces",
        sa.Column("path", ascii_text(255), nullable=False),
        sa.Column("public", sa.Boolean(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("path", name="pk_namespaces"),
    )
    op.create_table(
        "repositories",
        sa.Column("id", Id, autoincrement=True, nullable=False),
        sa.Column("name", ascii_text(255), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_repositories"),
        sa.UniqueConstraint("name", name="uq_repositories_name"),
    )
    op.create_table(
        "uploads",
        sa.Column("id", ascii_text(36), nullable=False),
        sa.Column("owner", ascii_text(320), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("parts", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("cancelled", sa.Boolean(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
    )
    op.create_index("ix_uploads_expires_at_ms", "uploads", ["expires_at_ms"], unique=False)
    op.create_index("ix_uploads_owner", "uploads", ["owner"], unique=False)
    op.create_table(
        "users",
        sa.Column("id", Id, autoincrement=True, nullable=False),
        sa.Column("provider", ascii_text(64), nullable=False),
        sa.Column("name", ascii_text(255), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=True),
        sa.Column("administrator", sa.Boolean(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("provider", "name", name="uq_users_provider_name"),
    )
    op.create_table(
        "manifests",
        sa.Column("id", Id, autoincrement=True, nullable=False),
        sa.Column("repository_id", Id, nullable=False),
        sa.Column("digest", ascii_text(135), nullable=False),
        sa.Column("media_type", sa.String(length=255), nullable=False),
        sa.Column("artifact_type", sa.String(length=255), nullable=True),
        sa.Column("subject", ascii_text(135), nullable=True),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("referrer_descriptor", sa.LargeBinary(), nullable=True),
        sa.Column("pushed_by", sa.String(length=320), nullable=False),
        sa.Column("pushed_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name="fk_manifests_repository_id_repositories"),
        sa.PrimaryKeyConstraint("id", name="pk_manifests"),
        sa.UniqueConstraint("repository_id", "digest", name="uq_manifests_repository_id_digest"),
    )
    op.create_index("ix_manifests_subject", "manifests", ["repository_id", "subject", "id"], unique=False)
    op.create_table(
        "repository_blobs",
        sa.Column("repository_id", Id, nullable=False),
        sa.Column("blob_id", Id, nullable=False),
        sa.Column("linked_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["blob_id"], ["blobs.id"], name="fk_repository_blobs_blob_id_blobs"),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name="fk_repository_blobs_repository_id_repositories"
        ),
        sa.PrimaryKeyConstraint("repository_id", "blob_id", name="pk_repository_blobs"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_repository_blobs_blob_id", "repository_blobs", ["blob_id"], unique=False)
    op.create_table(
        "manifest_blobs",
        sa.Column("manifest_id", Id, nullable=False),
        sa.Column("blob_id", Id, nullable=False),
        sa.Column("repository_id", Id, nullable=False),
        sa.ForeignKeyConstraint(
            ["manifest_id"], ["manifests.id"], name="fk_manifest_blobs_manifest_id_manifests", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["repository_id", "blob_id"],
            ["repository_blobs.repository_id", "repository_blobs.blob_id"],
            name="fk_manifest_blobs_repository_id_blob_id_repository_blobs",
        ),
        sa.PrimaryKeyConstraint("manifest_id", "blob_id", name="pk_manifest_blobs"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_manifest_blobs_repository_id_manifest_blobs_blob_id",
        "manifest_blobs",
        ["repository_id", "blob_id"],
        unique=False,
    )
    op.create_table(
        "manifest_children",
        sa.Column("manifest_id", Id, nullable=False),
        sa.Column("digest", ascii_text(135), nullable=False),
        sa.ForeignKeyConstraint(
            ["manifest_id"], ["manifests.id"], name="fk_manifest_children_manifest_id_manifests", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("manifest_id", "digest", name="pk_manifest_children"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_manifest_children_digest", "manifest_children", ["digest"], unique=False)
    op.create_table(
        "tags",
        sa.Column("repository_id", Id, nullable=False),
        sa.Column("name", ascii_text(128), nullable=False),
        sa.Column("manifest_id", Id, nullable=False),
        sa.Column("hidden", sa.Boolean(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["manifest_id"], ["manifests.id"], name="fk_tags_manifest_id_manifests"),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name="fk_tags_repository_id_repositories"),
        sa.PrimaryKeyConstraint("repository_id", "name", name="pk_tags"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_tags_manifest_id", "tags", ["manifest_id"], unique=False)
