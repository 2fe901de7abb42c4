"""The one tree of migrations, for SQLite and PostgreSQL; the only place that knows every domain's tables."""
