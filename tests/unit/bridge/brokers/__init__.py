"""Tests of bridge.brokers."""
