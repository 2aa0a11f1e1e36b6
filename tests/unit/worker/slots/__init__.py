"""Tests of worker.slots."""
