"""The spool: a local file that takes events while the broker is away, and how they leave it again. No broker itself."""
