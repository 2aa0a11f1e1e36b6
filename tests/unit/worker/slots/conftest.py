"""Runs the tests of the slots on both event loops: they differ in what they tell of a socket with an error. Workers use
uvloop, and applications whatever they like."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return the loops on which each test of this directory runs."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
