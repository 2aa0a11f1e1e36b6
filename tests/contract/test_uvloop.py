"""uvloop, which the worker uses: its timers and transports differ from asyncio's."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import pytest
import uvloop

from bridge.brokers.contract.broker import Broker
from bridge.brokers.opening import open_broker
from bridge.brokers.sqlite.queues.row import now_microseconds
from bridge.queues import Queue
from tests.contract.acts import SOON, a_letter, an_event, consuming, entries_of, now, soon, take
from tests.contract.conftest import Site


def on_uvloop(work: Coroutine[Any, Any, None]) -> None:
    """Run this on uvloop, and fail on an error in any callback."""
    errors: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: errors.append(context))
        runner.run(work)
    assert errors == []


async def opened(site: Site) -> Broker:
    """Return a broker on the site with the queue `default`."""
    broker = open_broker(site.url, site.namespace)
    await broker.declare([Queue("default")])
    return broker


def test_round_trip(site: Site) -> None:
    """An event is published, delivered, retried, dead-lettered and listed."""

    async def journey() -> None:
        broker = await opened(site)
        event, due = an_event(data=bytes(range(256)) * 1000), soon()
        consumer = await consuming(broker, "default")
        await broker.publisher().publish(event)
        first = await take(consumer)
        await first.retry(first.envelope, SOON)
        second = await take(consumer)
        assert now() >= due
        assert second.envelope.event == event
        await second.dead_letter(a_letter(second))
        assert len(await entries_of(broker)) == 1
        await broker.close()

    on_uvloop(journey())


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_timer_for_a_moment_that_is_past(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that becomes due just before the consumer sets its timer is looked for at once."""
    late = "bridge.brokers.sqlite.queues.consumer.now_microseconds"
    monkeypatch.setattr(late, lambda: now_microseconds() + 3_600_000_000)

    async def journey() -> None:
        broker = await opened(site)
        consumer = await consuming(broker, "default")
        publisher = broker.publisher()
        began = now()
        for milliseconds in (2000, 1000, 1500):
            await publisher.publish(an_event(f"after.{milliseconds}"), began + timedelta(milliseconds=milliseconds))
        names = [(await take(consumer)).envelope.event.name for _ in range(3)]
        assert names == ["after.1000", "after.1500", "after.2000"]
        await broker.close()

    on_uvloop(journey())
