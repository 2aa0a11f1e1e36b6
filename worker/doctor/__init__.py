"""`bridge-doctor`: looks at everything that must be well for events to run, and says what is not."""
