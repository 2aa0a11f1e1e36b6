"""Tests that need the rights of root."""

import os

import pytest

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away and become another user")
"""Marks a test that runs as root alone."""
