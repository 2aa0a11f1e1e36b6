"""The ends of events without a run: what becomes of an event that failed in this worker itself, that may not begin, or
that was settled before.
"""

import asyncio
from collections.abc import Callable

from bridge.logger import log
from bridge.settlement import DeadLetter
from worker.events.defects import Defects, dead_letter
from worker.events.in_flight import EventInFlight
from worker.events.replay import Replayer
from worker.events.steering import ComeBack, GiveBack, Instead

GIVEN_BACK_AFTER = 1.0
"""Seconds until an event returns to its queue: without a pause it would be redelivered and fail in a hot loop."""


async def acknowledge(held: EventInFlight) -> None:
    """Acknowledge a redelivery of an event that this worker has settled."""
    await held.settle(lambda delivery: delivery.ack())


async def leave_out(held: EventInFlight, instead: Instead, replayer: Replayer) -> None:
    """Settle an event that may not begin, or return it to its queue after a moment."""
    try:
        match instead:
            case DeadLetter():
                await replayer.bury(held, instead)
            case ComeBack(envelope=envelope, wait=wait):
                await held.settle(lambda delivery: delivery.retry(envelope, wait))
            case GiveBack():
                await give_back_later(held)
    except asyncio.CancelledError:
        await held.give_back()


async def end_failed(held: EventInFlight, error: Exception, defects: Defects, replayer: Replayer) -> None:
    """Return an event that met an internal error to its queue; the second time, move it to the ledger."""
    again = defects.again(held.token)
    what = "moving it to the ledger" if again else "returning it to its queue"
    log.error("internal error while processing an event; %s", what, exc_info=error, extra={"event": held.token})
    if not (again and await _buried(held, error, replayer)):
        await give_back_later(held)


async def give_back(held: EventInFlight, again: Callable[[], bool]) -> None:
    """Return an event to its queue; try until the broker takes it, while `again` returns True. A worker that ends need
    not: with its connection, the broker has the event back."""
    if not await held.give_back() and again():
        await give_back_later(held, again)


async def give_back_later(held: EventInFlight, again: Callable[[], bool] = lambda: True) -> None:
    """Return an event to its queue after `GIVEN_BACK_AFTER`; try again as `give_back` does."""
    try:
        while True:
            await asyncio.sleep(GIVEN_BACK_AFTER)
            if await held.give_back() or not again():
                return
    except asyncio.CancelledError:  # the worker is stopping
        await held.give_back()


async def _buried(held: EventInFlight, error: Exception, replayer: Replayer) -> bool:
    """Move the event to the ledger. Return False if that fails too."""
    try:
        await replayer.bury(held, dead_letter(held.delivery.envelope, error))
    except asyncio.CancelledError:
        return False
    except Exception:
        log.exception("internal error while burying an event", extra={"event": held.token})
        return False
    return True
