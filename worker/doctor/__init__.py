"""`bridge-doctor`: checks everything that events need to run, and reports what is wrong."""
