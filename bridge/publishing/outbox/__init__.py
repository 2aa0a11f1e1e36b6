"""The outbox: tables in the app's own database, and the store that a relay reads. Needs the extra `sqlalchemy`."""
