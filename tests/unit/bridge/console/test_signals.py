"""Signals that ask a program to stop."""

import asyncio
import os
import signal

import pytest

from bridge.console.signals import stop_on_signals
from tests.limits import PATIENCE


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_first_signal_asks_the_program_to_stop(number: signal.Signals) -> None:
    """The first signal sets `wished` and `by`, and calls the callback once."""
    messages: list[str] = []

    with stop_on_signals(lambda: messages.append("stopping")) as stop:
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stop.wished.wait(), PATIENCE)

    assert stop.by == number
    assert messages == ["stopping"]


async def test_only_the_first_signal_is_handled() -> None:
    """A second signal has its default effect, so it can end a program that does not stop."""
    with pytest.raises(KeyboardInterrupt), stop_on_signals(lambda: None) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.wait_for(stop.wished.wait(), PATIENCE)
        signal.raise_signal(signal.SIGINT)
