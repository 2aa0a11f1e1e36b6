"""Tests of the pool, without processes."""
