"""`bridge-worker`: takes events from the broker, and replays each into a warm pool of app-server processes."""
