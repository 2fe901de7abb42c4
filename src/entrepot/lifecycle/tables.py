from sqlalchemy import Column, Index, Table

from entrepot.database.base import TimestampMs, ascii_text, metadata

garbage = Table(
    "garbage",
    metadata,
    # Where the store has, or had, the bytes that nothing names.
    Column("location", ascii_text(400), primary_key=True),
    Column("found_at_ms", TimestampMs, nullable=False),
    # When they were moved aside; null while they are only listed.
    Column("moved_at_ms", TimestampMs),
    Index(None, "moved_at_ms"),
)
