"""The worker's parts, one by one."""
