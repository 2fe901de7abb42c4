"""Stories of clients, told to the whole registry: once over SQLite and local files, once over PostgreSQL and S3."""
