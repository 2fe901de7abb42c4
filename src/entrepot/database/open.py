"""Opens the database that the settings name."""

from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from entrepot.database.database import Database
from entrepot.database.sqlite import SQLiteDatabase
from entrepot.errors import Invalid
from entrepot.settings import DatabaseSettings


def database_url(settings: DatabaseSettings, data: Path) -> str:
    """Raises Invalid for what is no URL, or that of another kind of database."""
    text = settings.url or f"sqlite:///{data.absolute() / 'entrepot.db'}"
    try:
        url = make_url(text)
    except ArgumentError:
        raise Invalid("database.url is not a URL: use sqlite:////path/to/file or postgresql://host/name") from None
    if (url.get_backend_name() == "sqlite" and url.database) or url.get_backend_name() == "postgresql":
        return text
    raise Invalid("database.url names a database that is not supported: use sqlite:///… or postgresql://…")


def open_database(settings: DatabaseSettings, data: Path) -> Database:
    """Raises Invalid for a URL of another kind of database."""
    url = make_url(database_url(settings, data))
    if url.get_backend_name() == "sqlite":
        return SQLiteDatabase(Path(url.database or ""))
    # Imported here because it takes 50 ms, and a registry on SQLite starts without it.
    from entrepot.database.postgresql import PostgreSQLDatabase

    return PostgreSQLDatabase(
        url.render_as_string(hide_password=False), settings.connections, settings.statement_seconds
    )
