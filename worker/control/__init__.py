"""The control socket of a worker or pool, its status and its readiness, and `bridge-status`."""
