"""Calls through the database file: who asks, and who answers."""
