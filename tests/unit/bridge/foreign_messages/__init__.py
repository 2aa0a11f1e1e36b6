"""Tests of the messages of older bridges."""
