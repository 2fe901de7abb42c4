"""The database's own tables: what changed, for the caches of the workers; and facts about the registry as a whole."""

from sqlalchemy import Column, Table, Text

from entrepot.database.base import Id, ascii_text, metadata

changes = Table(
    "changes",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("topic", ascii_text(300), nullable=False),
    sqlite_autoincrement=True,
)

facts = Table(
    "facts",
    metadata,
    Column("name", ascii_text(64), primary_key=True),
    Column("value", Text, nullable=False),
)
