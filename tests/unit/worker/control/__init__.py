"""Tests of worker.control."""
