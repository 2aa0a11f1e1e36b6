"""An app to learn from (`webhooks`), and the whole journey run with it (`demo`). Not part of the distribution."""
