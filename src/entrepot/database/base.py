"""The one MetaData that every domain's tables belong to, and the column types they share."""

from sqlalchemy import BigInteger, Integer, MetaData, String

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Id = BigInteger().with_variant(Integer(), "sqlite")
"""A generated row number: SQLite numbers rows by itself only for INTEGER."""

TimestampMs = BigInteger()
"""Milliseconds since the Unix epoch, UTC."""


def ascii_text(characters_max: int) -> String:
    """Text that sorts by byte on both databases, as the protocol's lists do."""
    return String(characters_max).with_variant(String(characters_max, collation="C"), "postgresql")
