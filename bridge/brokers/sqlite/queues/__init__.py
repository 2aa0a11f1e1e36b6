"""Queues in the database file: rows, leases, consumer, publisher."""
