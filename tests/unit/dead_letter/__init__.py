"""bridge-dlq's parts, one by one."""
