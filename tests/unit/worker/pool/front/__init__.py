"""Tests of worker.pool.front."""
