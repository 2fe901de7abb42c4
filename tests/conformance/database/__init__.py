"""What every database has to answer: each domain's queries, on SQLite and on PostgreSQL."""
