from sqlalchemy import Boolean, Column, Table

from entrepot.database.base import TimestampMs, ascii_text, metadata

namespaces = Table(
    "namespaces",
    metadata,
    Column("path", ascii_text(255), primary_key=True),
    Column("public", Boolean, nullable=False),
    Column("created_at_ms", TimestampMs, nullable=False),
)
