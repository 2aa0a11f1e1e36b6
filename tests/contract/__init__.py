"""One suite for both brokers: what `bridge.brokers.contract` promises, shown on each."""
