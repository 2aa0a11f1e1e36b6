"""Tests of bridge.brokers.any_broker."""
