"""Publishers that need no open broker: lazy, with a spool, and the relay that empties the spool."""
