"""The embedded broker: one SQLite file, durable, for the processes of one machine."""
