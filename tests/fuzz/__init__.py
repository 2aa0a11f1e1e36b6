"""Fuzz runs. They are long and started by hand (`make fuzz`), not a part of the test suite."""
