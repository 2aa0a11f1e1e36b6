"""The events in flight: settlements that the broker does not confirm in time are found, each after its own time."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bridge.brokers.contract.consuming import Delivery
from tests.limits import PATIENCE
from tests.unit.worker.doubles import FakeDelivery
from worker.events.in_flight import EventInFlight, InFlight


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


async def test_one_timer_finds_every_unconfirmed_settlement(monkeypatch: pytest.MonkeyPatch) -> None:
    """A settlement that is confirmed does not count, and one that began later is found too."""
    monkeypatch.setattr("worker.events.in_flight.UNCONFIRMED_AFTER", 0.01)
    events = InFlight(lambda: "", lambda hold: None, lambda: None)
    confirmed = asyncio.Event()
    held: list[EventInFlight] = [events.hold(FakeDelivery(str(number))) for number in range(4)]

    def verb(wait: Awaitable[object] | None) -> Callable[[Delivery], Awaitable[None]]:
        async def settle(delivery: Delivery) -> None:
            if wait is not None:
                await wait

        return settle

    first = asyncio.create_task(held[0].settle(verb(confirmed.wait())))
    assert await held[1].settle(verb(None))
    await until(lambda: events.unconfirmed == 1)
    second = asyncio.create_task(held[2].settle(verb(confirmed.wait())))
    await until(lambda: events.unconfirmed == 2)
    assert await held[3].settle(verb(None))
    confirmed.set()
    assert await first
    assert await second
    for each in held:
        events.leave(each)

    assert (events.unconfirmed, events.finished, len(events)) == (0, 4, 0)
