"""Tests of the parts of `bridge-dlq`, one by one."""
