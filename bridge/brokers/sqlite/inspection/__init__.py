"""The questions of bridge-doctor to the database file. Changes nothing."""
