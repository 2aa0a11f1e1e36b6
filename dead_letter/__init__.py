"""`bridge-dlq`: shows dead letters, and redrives or discards them. It uses the ledger only, no worker and no app."""
