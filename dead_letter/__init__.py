"""bridge-dlq: look at dead letters, and decide about them. Knows the ledger alone: neither worker nor app."""
