"""The outbox on PostgreSQL, MariaDB and SQLite: deferring with a session, the relay, and listeners that run once."""
