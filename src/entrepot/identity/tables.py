from sqlalchemy import Boolean, Column, String, Table, UniqueConstraint

from entrepot.database.base import Id, TimestampMs, ascii_text, metadata

users = Table(
    "users",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("provider", ascii_text(64), nullable=False),
    Column("name", ascii_text(255), nullable=False),
    Column("password_hash", String(255)),
    Column("administrator", Boolean, nullable=False, default=False),
    Column("created_at_ms", TimestampMs, nullable=False),
    UniqueConstraint("provider", "name"),
)
