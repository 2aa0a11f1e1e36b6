"""`bridge-worker`: takes events from the broker and replays each into a pre-warmed pool of app-server processes."""
