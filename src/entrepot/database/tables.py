"""The database's own table: what changed, for the caches of the workers."""

from sqlalchemy import Column, Table

from entrepot.database.base import Id, ascii_text, metadata

changes = Table(
    "changes",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("topic", ascii_text(300), nullable=False),
    sqlite_autoincrement=True,
)
