"""An example app (`webhooks`), and a demo of all programs with it (`demo`). Not part of the distribution."""
