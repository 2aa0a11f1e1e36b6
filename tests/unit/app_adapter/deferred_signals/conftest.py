"""A shop with a signal of its own, and with receivers that have noted nothing yet."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from blinker import NamedSignal
from flask import Flask

from app_adapter.testing import Recording
from tests.unit.app_adapter.deferred_signals import receivers
from tests.unit.app_adapter.replays import Shop


class AsyncFlask(Flask):
    """An app that runs async functions without asgiref."""

    def async_to_sync(self, func: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        """Run a coroutine function to its end."""
        return lambda *arguments: asyncio.run(func(*arguments))


@pytest.fixture
def shop() -> Shop:
    """An app with the extension. Its receivers have noted nothing and raise nothing."""
    receivers.calls.clear()
    receivers.failing.clear()
    return Shop(AsyncFlask("shop"))


@pytest.fixture
def order_paid() -> NamedSignal:
    """A signal without receivers."""
    return NamedSignal("order-paid")


@pytest.fixture
def deferred(shop: Shop) -> Iterator[Recording]:
    """The recording of the shop."""
    with shop.events.testing() as recording:
        yield recording
