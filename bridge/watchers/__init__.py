"""Watchers, which receive moments and decide nothing, and the code that passes moments to them."""
