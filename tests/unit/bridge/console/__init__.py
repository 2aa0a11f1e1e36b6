"""Tests of bridge.console."""
