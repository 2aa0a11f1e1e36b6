"""Tests of `worker.doctor`."""
