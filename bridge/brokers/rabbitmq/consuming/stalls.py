"""Finds the lanes of which RabbitMQ has messages and delivers none.

RabbitMQ 3.10 sometimes forgets to end a consumer whose quorum queue is deleted. If a publisher declares the queue
again at once, RabbitMQ takes the consumer for one of the new queue, counts messages as delivered to it, and sends none:
the worker would wait without end. Only a new connection helps.
"""

import asyncio
import logging
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import NoReturn

from bridge.brokers.rabbitmq.connection.connecting import BROKEN, cancelled_by_us_alone
from bridge.brokers.rabbitmq.consuming.subscriptions import Lane, Subscriptions
from bridge.handling import Priority

LOOKED_EVERY = 5.0
"""Seconds between two looks."""

ASKED_TOGETHER = 20
"""Lanes that are asked for at a look, in turn, besides those that are suspected: a count is work for RabbitMQ."""

BEFORE_ALL = Lane("", Priority.HIGH)

log = logging.getLogger(__name__)

Count = Callable[[Sequence[Lane]], Awaitable[Sequence[int]]]
"""Returns the number of ready messages of each lane. Raises one of `BROKEN`."""


async def watch_for_stalls(
    present: Callable[[], Subscriptions | None],
    stands_by: Callable[[Lane], bool],
    count: Count,
    renew: Callable[[], Awaitable[None]],
) -> NoReturn:
    """Call `renew` when a lane of the present connection is stalled. `present` returns its subscriptions, None if there
    is no connection. `stands_by` returns True for a lane of which RabbitMQ may rightly deliver nothing to this
    consumer."""
    watched, stalls = None, Stalls()
    while True:
        await asyncio.sleep(LOOKED_EVERY)
        subscriptions = present()
        if subscriptions is None:
            continue
        quiet = subscriptions.quiet()
        subscriptions.listen_anew()
        if subscriptions is not watched:
            watched, stalls = subscriptions, Stalls()
            continue
        lanes = stalls.to_ask([lane for lane in quiet if not stands_by(lane)])
        try:
            with cancelled_by_us_alone():
                counts = await count(lanes)
        except BROKEN:
            continue  # the link connects again
        stalled = subscriptions.quiet().intersection(stalls.stalled(dict(zip(lanes, counts, strict=True))))
        if stalled and present() is subscriptions:
            named = ", ".join(sorted({lane.queue for lane in stalled}))
            log.warning("RabbitMQ has messages of queue %s and delivers none to this worker; connecting again", named)
            await renew()


class Stalls:
    """Remembers what was seen of the lanes of one connection. A lane is suspected while it is quiet and has ready
    messages, and stalled if that is so at two looks. Pure."""

    def __init__(self) -> None:
        self._suspected: frozenset[Lane] = frozenset()
        self._last = BEFORE_ALL

    def to_ask(self, quiet: Collection[Lane]) -> list[Lane]:
        """Return the lanes to ask for, of those that have been quiet since the last look."""
        self._suspected = self._suspected.intersection(quiet)
        others = sorted(set(quiet) - self._suspected)
        start = bisect_right(others, self._last)
        turn = (others[start:] + others[:start])[:ASKED_TOGETHER]
        if turn:
            self._last = turn[-1]
        return [*sorted(self._suspected), *turn]

    def stalled(self, ready: Mapping[Lane, int]) -> list[Lane]:
        """Return the lanes that are stalled, by the number of ready messages of each lane that was asked for."""
        full = frozenset(lane for lane, count in ready.items() if count)
        stalled, self._suspected = self._suspected & full, full
        return sorted(stalled)
