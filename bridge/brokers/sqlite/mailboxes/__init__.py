"""Mailboxes in the database file: messages that programs put and fetch."""
