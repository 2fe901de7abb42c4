from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Text, text

from entrepot.database.base import Id, TimestampMs, ascii_text, metadata

audit_pending = Table(
    "audit_pending",
    metadata,
    # Records as they happened, written with what they record, until they are put into the chain.
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("record", Text, nullable=False),
    sqlite_autoincrement=True,
)

audit_records = Table(
    "audit_records",
    metadata,
    Column("seq", Id, primary_key=True, autoincrement=False),
    Column("at_ms", TimestampMs, nullable=False),
    Column("actor", ascii_text(320), nullable=False),
    Column("action", ascii_text(64), nullable=False),
    Column("resource", ascii_text(320), nullable=False),
    Column("digest", ascii_text(135), nullable=False),
    Column("address", ascii_text(64), nullable=False),
    Column("outcome", ascii_text(16), nullable=False),
    # JSON, as it was hashed
    Column("record", Text, nullable=False),
    Column("hash", ascii_text(64), nullable=False),
    Index("ix_audit_records_at_ms", "at_ms", "seq"),
    Index("ix_audit_records_actor", "actor", "seq"),
    Index("ix_audit_records_action", "action", "seq"),
    Index("ix_audit_records_resource", "resource", "seq"),
    Index("ix_audit_records_digest", "digest", "seq"),
    Index("ix_audit_records_address", "address", "seq"),
)

audit_chain = Table(
    "audit_chain",
    metadata,
    # One row: where the chain ends now.
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", ascii_text(64), nullable=False),
)

audit_heads = Table(
    "audit_heads",
    metadata,
    Column("seq", Id, primary_key=True, autoincrement=False),
    Column("hash", ascii_text(64), nullable=False),
    Column("signed_at_ms", TimestampMs, nullable=False),
    Column("key_id", ascii_text(64), nullable=False),
    Column("signature", ascii_text(128), nullable=False),
)

audit_segments = Table(
    "audit_segments",
    metadata,
    Column("first_seq", Id, primary_key=True, autoincrement=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("last_at_ms", TimestampMs, nullable=False),
    Column("location", ascii_text(255), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", ascii_text(64), nullable=False),
    # Whether its records have left the database.
    Column("removed", Boolean, nullable=False),
    Column("archived_at_ms", TimestampMs, nullable=False),
)

audit_cursors = Table(
    "audit_cursors",
    metadata,
    # How far each forwarding target has got.
    Column("target", ascii_text(64), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("error", String(255), nullable=False),
    # The process that sends now, and until when nobody else does.
    Column("claimed_by", ascii_text(32), nullable=False),
    Column("claimed_until_ms", TimestampMs, nullable=False),
    Column("updated_at_ms", TimestampMs, nullable=False),
)


def index_refusals() -> None:
    """Give the records their partial index: nearly everything is done as asked, and found by its number.

    Only migrations need to know of it, and saying it loads SQLAlchemy's part for PostgreSQL, 0.15 s for each process.
    """
    columns, refused = audit_records.c, text("outcome <> 'done'")
    Index("ix_audit_records_outcome", columns.outcome, columns.seq, sqlite_where=refused, postgresql_where=refused)
