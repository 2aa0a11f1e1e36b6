"""The dead-letter ledger in the database file."""
