"""Fuzz runs: long, started by hand, and no part of the test suite."""
