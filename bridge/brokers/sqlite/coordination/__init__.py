"""Claims and broadcasts that use the database file and files next to it."""
