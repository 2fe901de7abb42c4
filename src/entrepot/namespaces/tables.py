from sqlalchemy import Boolean, Column, Table

from entrepot.database.base import TimestampMs, ascii_text, metadata

namespaces = Table(
    "namespaces",
    metadata,
    Column("path", ascii_text(255), primary_key=True),
    Column("public", Boolean, nullable=False),
    Column("created_at_ms", TimestampMs, nullable=False),
)

visibility = Table(
    "visibility",
    metadata,
    # What the settings come to, for lists: from this name on repositories are public, or private again, up to the next.
    Column("low", ascii_text(256), primary_key=True),
    Column("public", Boolean, nullable=False),
    sqlite_with_rowid=False,
)
