"""The demo: all programs as real processes. `__main__` runs it."""
