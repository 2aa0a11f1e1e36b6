"""Deadlines that share a timer: each is called when it has come, unless it was discarded."""

import asyncio

from bridge.brokers.any_broker.expiries import Expiries
from tests.deadlines import within
from tests.limits import PATIENCE


async def until(called: list[str], count: int) -> None:
    """Wait until so many were called."""
    async with asyncio.timeout(PATIENCE):
        while len(called) < count:
            await asyncio.sleep(0.001)


async def test_the_nearest_deadline_is_called_first() -> None:
    """Also if it was added last."""
    called: list[str] = []
    expiries = Expiries()
    expiries.add(within(60), lambda: called.append("never"))
    expiries.add(within(0.2), lambda: called.append("later"))
    expiries.add(within(0.01), lambda: called.append("soon"))

    await until(called, 2)

    assert called == ["soon", "later"]


async def test_a_discarded_deadline_is_not_called() -> None:
    """Those added after it are."""
    called: list[str] = []
    expiries = Expiries()
    expiries.discard(expiries.add(within(0.01), lambda: called.append("discarded")))
    expiries.add(within(0.02), lambda: called.append("kept"))

    await until(called, 1)
    expiries.add(within(0.01), lambda: called.append("added after all had come"))
    await until(called, 2)

    assert called == ["kept", "added after all had come"]


async def test_a_call_may_discard_and_add() -> None:
    """A call at a deadline changes what the next one finds."""
    called: list[str] = []
    expiries = Expiries()

    def first() -> None:
        called.append("first")
        expiries.discard(second)
        expiries.add(within(0.0), lambda: called.append("third"))

    expiries.add(within(0.01), first)
    second = expiries.add(within(0.01), lambda: called.append("second"))

    await until(called, 2)

    assert called == ["first", "third"]
