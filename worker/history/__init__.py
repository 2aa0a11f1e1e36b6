"""`bridge-events`: what became of events, by the history, the ledger and the workers that answer."""
