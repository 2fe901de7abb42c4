"""Everything: content, uploads, users, access, audit, namespaces and the feed of changes."""

import sqlalchemy as sa
from alembic import op

from entrepot.database.base import Id, ascii_text

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "audit_chain",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", ascii_text(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_chain"),
    )
    op.create_table(
        "audit_cursors",
        sa.Column("target", ascii_text(64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.String(length=255), nullable=False),
        sa.Column("claimed_by", ascii_text(32), nullable=False),
        sa.Column("claimed_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("target", name="pk_audit_cursors"),
    )
    op.create_table(
        "audit_heads",
        sa.Column("seq", Id, autoincrement=False, nullable=False),
        sa.Column("hash", ascii_text(64), nullable=False),
        sa.Column("signed_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("key_id", ascii_text(64), nullable=False),
        sa.Column("signature", ascii_text(128), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit_heads"),
    )
    op.create_table(
        "audit_pending",
        sa.Column("id", Id, autoincrement=True, nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_pending"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "audit_records",
        sa.Column("seq", Id, autoincrement=False, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", ascii_text(320), nullable=False),
        sa.Column("action", ascii_text(64), nullable=False),
        sa.Column("resource", ascii_text(320), nullable=False),
        sa.Column("digest", ascii_text(135), nullable=False),
        sa.Column("address", ascii_text(64), nullable=False),
        sa.Column("outcome", ascii_text(16), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("hash", ascii_text(64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit_records"),
    )
    op.create_index("ix_audit_records_action", "audit_records", ["action", "seq"], unique=False)
    op.create_index("ix_audit_records_actor", "audit_records", ["actor", "seq"], unique=False)
    op.create_index("ix_audit_records_address", "audit_records", ["address", "seq"], unique=False)
    op.create_index("ix_audit_records_at_ms", "audit_records", ["at_ms", "seq"], unique=False)
    op.create_index("ix_audit_records_digest", "audit_records", ["digest", "seq"], unique=False)
    op.create_index(
        "ix_audit_records_outcome",
        "audit_records",
        ["outcome", "seq"],
        unique=False,
        sqlite_where=sa.text("outcome <> 'done'"),
        postgresql_where=sa.text("outcome <> 'done'"),
    )
    op.create_index("ix_audit_records_resource", "audit_records", ["resource", "seq"], unique=False)
    op.create_table(
        "audit_segments",
        sa.Column("first_seq", Id, autoincrement=False, nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("location", ascii_text(255), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", ascii_text(64), nullable=False),
        sa.Column("removed", sa.Boolean(), nullable=False),
        sa.Column("archived_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("first_seq", name="pk_audit_segments"),
    )
    op.create_table(
        "blobs",
        sa.Column("id", Id, autoincrement=True, nullable=False),
        sa.Column("digest", ascii_text(135), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("location", ascii_text(255), nullable=True),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_blobs"),
        sa.UniqueConstraint("digest", name="uq_blobs_digest"),
        sa.UniqueConstraint("location", name="uq_blobs_location"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "blob_contents",
        sa.Column("blob_id", Id, autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["blob_id"], ["blobs.id"], name="fk_blob_contents_blob_id_blobs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("blob_id", name="pk_blob_contents"),
    )
    op.create_table(
        "changes",
        sa.Column("id", Id, autoincrement=True, nullable=False),
        sa.Column("topic", ascii_text(300), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_changes"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "device_logins",
        sa.Column("id_hash", sa.LargeBinary(), nullable=False),
        sa.Column("provider", ascii_text(64), nullable=False),
        sa.Column("network", ascii_text(64), nullable=False),
        sa.Column("device_code", sa.Text(), nullable=False),
        sa.Column("interval_seconds", Id, nullable=False),
        sa.Column("next_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id_hash", name="pk_device_logins"),
    )
    op.create_index("ix_device_logins_expires_at_ms", "device_logins", ["expires_at_ms"], unique=False)
    op.create_index("ix_device_logins_network", "device_logins", ["network"], unique=False)
    op.create_table(
        "facts",
        sa.Column("name", ascii_text(64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_facts"),
    )
    op.create_table(
        "garbage",
        sa.Column("location", ascii_text(400), nullable=False),
        sa.Column("found_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("moved_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("location", name="pk_garbage"),
    )
    op.create_index("ix_garbage_moved_at_ms", "garbage", ["moved_at_ms"], unique=False)
    op.create_table(
        "groups",
        sa.Column("id", Id, autoincrement=True, nullable=False),
        sa.Column("provider", ascii_text(64), nullable=False),
        sa.Column("name", ascii_text(255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_groups"),
        sa.UniqueConstraint("provider", "name", name="uq_groups_provider_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "login_failures",
        sa.Column("key", ascii_text(400), nullable=False),
        sa.Column("count", Id, nullable=False),
        sa.Column("last_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("key", name="pk_login_failures"),
    )
    op.create_index("ix_login_failures_last_at_ms", "login_failures", ["last_at_ms"], unique=False)
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
        sqlite_autoincrement=True,
    )
    op.create_table(
        "repository_usage",
        sa.Column("repository_id", Id, autoincrement=False, nullable=False),
        sa.Column("tags", sa.BigInteger(), nullable=False),
        sa.Column("manifests", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name="fk_repository_usage_repository_id_repositories",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("repository_id", name="pk_repository_usage"),
    )
    op.create_table(
        "roles",
        sa.Column("name", ascii_text(64), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("permissions", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_roles"),
    )
    op.create_table(
        "uploads",
        sa.Column("id", ascii_text(36), nullable=False),
        sa.Column("owner_id", Id, nullable=True),
        sa.Column("owner", ascii_text(320), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("parts", sa.Text(), nullable=False),
        sa.Column("cancelled", sa.Boolean(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
    )
    op.create_index("ix_uploads_expires_at_ms", "uploads", ["expires_at_ms"], unique=False)
    op.create_index("ix_uploads_owner", "uploads", ["owner"], unique=False)
    op.create_table(
        "used_logins",
        sa.Column("state_hash", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("state_hash", name="pk_used_logins"),
    )
    op.create_index("ix_used_logins_expires_at_ms", "used_logins", ["expires_at_ms"], unique=False)
    op.create_table(
        "users",
        sa.Column("id", Id, autoincrement=True, nullable=False),
        sa.Column("provider", ascii_text(64), nullable=False),
        sa.Column("subject", ascii_text(255), nullable=False),
        sa.Column("name", ascii_text(255), nullable=False),
        sa.Column("display_name", sa.String(length=255), nullable=False),
        sa.Column("email", sa.String(length=255), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=True),
        sa.Column("administrator", sa.Boolean(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("gone", sa.Boolean(), nullable=False),
        sa.Column("disabled_by", Id, nullable=True),
        sa.Column("linked_to", Id, nullable=True),
        sa.Column("owner_id", Id, nullable=True),
        sa.Column("epoch", Id, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("refreshed_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["linked_to"], ["users.id"], name="fk_users_linked_to_users"),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name="fk_users_owner_id_users"),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("provider", "name", name="uq_users_provider_name"),
        sa.UniqueConstraint("provider", "subject", name="uq_users_provider_subject"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_users_linked_to", "users", ["linked_to"], unique=False)
    op.create_index("ix_users_owner_id", "users", ["owner_id"], unique=False)
    op.create_index("ix_users_refreshed_at_ms", "users", ["provider", "gone", "refreshed_at_ms"], unique=False)
    op.create_table(
        "visibility",
        sa.Column("low", ascii_text(256), nullable=False),
        sa.Column("public", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("low", name="pk_visibility"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "grants",
        sa.Column("id", Id, autoincrement=True, nullable=False),
        sa.Column("role", ascii_text(64), nullable=False),
        sa.Column("subject_kind", ascii_text(16), nullable=False),
        sa.Column("user_id", Id, nullable=True),
        sa.Column("group_id", Id, nullable=True),
        sa.Column("place_kind", ascii_text(16), nullable=False),
        sa.Column("place_path", ascii_text(255), nullable=False),
        sa.Column("condition", sa.Text(), nullable=True),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("terms_hash", ascii_text(64), nullable=False),
        sa.Column("created_by", sa.String(length=320), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name="fk_grants_group_id_groups", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_grants_user_id_users", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_grants"),
        sa.UniqueConstraint("terms_hash", name="uq_grants_terms_hash"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_grants_group_id", "grants", ["group_id"], unique=False)
    op.create_index("ix_grants_place_path_grants_id", "grants", ["place_path", "id"], unique=False)
    op.create_index("ix_grants_subject_kind", "grants", ["subject_kind"], unique=False)
    op.create_index("ix_grants_user_id", "grants", ["user_id"], unique=False)
    op.create_table(
        "group_members",
        sa.Column("user_id", Id, nullable=False),
        sa.Column("group_id", Id, nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"], ["groups.id"], name="fk_group_members_group_id_groups", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_group_members_user_id_users", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "group_id", name="pk_group_members"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_group_members_group_id", "group_members", ["group_id"], unique=False)
    op.create_table(
        "manifests",
        sa.Column("id", Id, autoincrement=True, nullable=False),
        sa.Column("repository_id", Id, nullable=False),
        sa.Column("digest", ascii_text(135), nullable=False),
        sa.Column("media_type", sa.String(length=255), nullable=False),
        sa.Column("artifact_type", sa.String(length=255), nullable=True),
        sa.Column("subject", ascii_text(135), nullable=True),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("pushed_by_id", Id, nullable=True),
        sa.Column("pushed_by", sa.String(length=320), nullable=False),
        sa.Column("pushed_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name="fk_manifests_repository_id_repositories"),
        sa.PrimaryKeyConstraint("id", name="pk_manifests"),
        sa.UniqueConstraint("repository_id", "digest", name="uq_manifests_repository_id_digest"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_manifests_subject", "manifests", ["repository_id", "subject", "id"], unique=False)
    op.create_table(
        "manifest_contents",
        sa.Column("manifest_id", Id, autoincrement=False, nullable=False),
        sa.Column("referrer_descriptor", sa.LargeBinary(), nullable=True),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["manifest_id"], ["manifests.id"], name="fk_manifest_contents_manifest_id_manifests", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("manifest_id", name="pk_manifest_contents"),
    )
    op.create_table(
        "repository_blobs",
        sa.Column("repository_id", Id, nullable=False),
        sa.Column("blob_id", Id, nullable=False),
        sa.Column("used_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["blob_id"], ["blobs.id"], name="fk_repository_blobs_blob_id_blobs"),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name="fk_repository_blobs_repository_id_repositories"
        ),
        sa.PrimaryKeyConstraint("repository_id", "blob_id", name="pk_repository_blobs"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_repository_blobs_blob_id", "repository_blobs", ["blob_id"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("id_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("provider", ascii_text(64), nullable=False),
        sa.Column("provider_session", ascii_text(255), nullable=False),
        sa.Column("provider_subject", ascii_text(255), nullable=False),
        sa.Column("id_token", sa.Text(), nullable=False),
        sa.Column("address", ascii_text(64), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_sessions_user_id_users", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id_hash", name="pk_sessions"),
    )
    op.create_index("ix_sessions_expires_at_ms", "sessions", ["expires_at_ms"], unique=False)
    op.create_index(
        "ix_sessions_provider_sessions_provider_subject", "sessions", ["provider", "provider_subject"], unique=False
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"], unique=False)
    op.create_table(
        "tokens",
        sa.Column("id", ascii_text(16), nullable=False),
        sa.Column("kind", ascii_text(16), nullable=False),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("parent_id", ascii_text(16), nullable=True),
        sa.Column("limits", sa.Text(), nullable=True),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("used_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("used_address", ascii_text(64), nullable=True),
        sa.ForeignKeyConstraint(["parent_id"], ["tokens.id"], name="fk_tokens_parent_id_tokens", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_tokens_user_id_users", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
    )
    op.create_index("ix_tokens_expires_at_ms", "tokens", ["expires_at_ms"], unique=False)
    op.create_index("ix_tokens_parent_id", "tokens", ["parent_id"], unique=False)
    op.create_index("ix_tokens_user_id", "tokens", ["user_id", "id"], unique=False)
    op.create_table(
        "trust_rules",
        sa.Column("id", Id, autoincrement=True, nullable=False),
        sa.Column("robot_id", Id, nullable=False),
        sa.Column("provider", ascii_text(64), nullable=False),
        sa.Column("audience", sa.String(length=255), nullable=False),
        sa.Column("claims", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["robot_id"], ["users.id"], name="fk_trust_rules_robot_id_users", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_trust_rules"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_trust_rules_provider", "trust_rules", ["provider"], unique=False)
    op.create_index("ix_trust_rules_robot_id", "trust_rules", ["robot_id"], unique=False)
    op.create_table(
        "edges",
        sa.Column("manifest_id", Id, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", ascii_text(16), nullable=False),
        sa.Column("repository_id", Id, nullable=False),
        sa.Column("blob_id", Id, nullable=True),
        sa.Column("digest", ascii_text(135), nullable=True),
        sa.ForeignKeyConstraint(
            ["manifest_id"], ["manifests.id"], name="fk_edges_manifest_id_manifests", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["repository_id", "blob_id"],
            ["repository_blobs.repository_id", "repository_blobs.blob_id"],
            name="fk_edges_repository_id_blob_id_repository_blobs",
        ),
        sa.PrimaryKeyConstraint("manifest_id", "position", name="pk_edges"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_edges_digest",
        "edges",
        ["repository_id", "digest"],
        unique=False,
        sqlite_where=sa.text("digest IS NOT NULL"),
        postgresql_where=sa.text("digest IS NOT NULL"),
    )
    op.create_index("ix_edges_repository_id_edges_blob_id", "edges", ["repository_id", "blob_id"], unique=False)
    op.create_table(
        "tags",
        sa.Column("repository_id", Id, nullable=False),
        sa.Column("name", ascii_text(128), nullable=False),
        sa.Column("manifest_id", Id, nullable=False),
        sa.Column("hidden", sa.Boolean(), nullable=False),
        sa.Column("updated_by_id", Id, nullable=True),
        sa.Column("updated_by", sa.String(length=320), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["manifest_id"], ["manifests.id"], name="fk_tags_manifest_id_manifests"),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name="fk_tags_repository_id_repositories"),
        sa.PrimaryKeyConstraint("repository_id", "name", name="pk_tags"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_tags_manifest_id", "tags", ["manifest_id"], unique=False)
