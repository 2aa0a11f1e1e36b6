"""The emptying of a database file, whose events go to another broker."""
