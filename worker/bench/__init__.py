"""`bridge-bench`: measures the user's own broker, app and machine."""
