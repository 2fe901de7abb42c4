from sqlalchemy import Column, ForeignKey, Index, String, Table, Text, UniqueConstraint

from entrepot.database.base import Id, TimestampMs, ascii_text, metadata

roles = Table(
    "roles",
    metadata,
    Column("name", ascii_text(64), primary_key=True),
    Column("description", String(255), nullable=False),
    # JSON: a list of permissions
    Column("permissions", Text, nullable=False),
    Column("created_at_ms", TimestampMs, nullable=False),
)

grants = Table(
    "grants",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("role", ascii_text(64), nullable=False),
    # user (a robot is one), group, signed-in or everyone
    Column("subject_kind", ascii_text(16), nullable=False),
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE")),
    Column("group_id", Id, ForeignKey("groups.id", ondelete="CASCADE")),
    # registry, namespace, repository or pattern
    Column("place_kind", ascii_text(16), nullable=False),
    Column("place_path", ascii_text(255), nullable=False),
    Column("condition", Text),
    Column("expires_at_ms", TimestampMs),
    # The terms above in one text: the same grant is made once.
    Column("terms_hash", ascii_text(64), nullable=False),
    Column("created_by", String(320), nullable=False),
    Column("created_at_ms", TimestampMs, nullable=False),
    UniqueConstraint("terms_hash"),
    Index(None, "user_id"),
    Index(None, "group_id"),
    Index(None, "subject_kind"),
    Index(None, "place_path", "id"),
    # A number is never used again: what remembers it must not take another for it.
    sqlite_autoincrement=True,
)
