"""Models of SQLAlchemy as sources of events: changes of their records, and their methods that run later."""
