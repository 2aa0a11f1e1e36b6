"""Events in a worker: taken from the broker, replayed, settled."""
