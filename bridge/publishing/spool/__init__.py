"""The spool: a local file that holds events while the broker is away. It is no broker."""
