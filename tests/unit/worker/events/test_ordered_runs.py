"""The runs of ordered queues' events end when their delivery is lost."""

import asyncio

from tests.unit.worker.doubles import FakeDelivery
from worker.events.in_flight import EventInFlight, InFlight
from worker.events.ordered_runs import OrderedRuns


def in_flight() -> InFlight:
    """Return the events of a worker whose broker is well."""
    return InFlight(lambda: "", lambda hold: None, lambda: None)


async def run_of(runs: OrderedRuns, held: EventInFlight) -> "asyncio.Task[None]":
    """Return a run that goes on."""
    run = asyncio.create_task(asyncio.sleep(60))
    await asyncio.sleep(0)
    runs.add(held, run)
    return run


async def test_a_run_whose_delivery_is_lost_ends() -> None:
    """In an ordered queue, because another worker may begin the event, and the next one. Other runs go on."""
    runs, events = OrderedRuns(["orders"]), in_flight()
    lost = FakeDelivery("m1", queue="orders", lost=True)
    other = FakeDelivery("m2", queue="default", lost=True)
    ends, goes_on = await run_of(runs, events.hold(lost)), await run_of(runs, events.hold(other))

    runs.end_lost()
    await asyncio.wait([ends])

    assert ends.cancelled()
    assert not goes_on.done()
    goes_on.cancel()


async def test_a_run_before_its_first_turn_ends_later() -> None:
    """Its task could not take its request out of the slot, nor return its event."""
    runs, events = OrderedRuns(["orders"]), in_flight()
    run = asyncio.create_task(asyncio.sleep(60))
    runs.add(events.hold(FakeDelivery("m1", queue="orders", lost=True)), run)

    runs.end_lost()
    assert not run.cancelling()
    await asyncio.sleep(0)
    runs.end_lost()

    assert run.cancelling()


async def test_a_run_that_is_over_or_was_delivered_again_goes_on() -> None:
    """Nothing of the event runs any more, or its redelivery came to this worker."""
    runs, events = OrderedRuns(["orders"]), in_flight()
    over, renewed = (events.hold(FakeDelivery(token, queue="orders", lost=True)) for token in ("m1", "m2"))
    over.lost = True
    renewed.renew(FakeDelivery("m2", queue="orders"))
    tasks = [await run_of(runs, held) for held in (over, renewed)]

    runs.end_lost()
    await asyncio.sleep(0)

    assert not any(task.cancelling() for task in tasks)
    for task in tasks:
        task.cancel()
