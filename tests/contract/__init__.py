"""The contract suite: tests the promises of `bridge.brokers.contract` on both brokers."""
