"""Slots: each runs one request at a time, in a child of the worker's own pool or over a connection to a foreign
pool."""
