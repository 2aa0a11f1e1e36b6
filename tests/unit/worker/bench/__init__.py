"""`bridge-bench`, without a worker."""
