"""SQLite in this process: one thread, shared commits, locks and wake-ups.

Used by the embedded broker, the spool, and the local index of a log.
"""
