"""The events in flight: each event of this worker from its delivery to its settlement, also when the connection to the
broker breaks.

A delivery whose connection broke is redelivered. If the redelivery comes to this worker, it joins the run of its event;
if the event was settled already, the redelivery is acknowledged. So no event runs twice in this worker.
"""

import asyncio
import contextlib
import random
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import datetime

from bridge.back_off import BackOff
from bridge.brokers.contract.consuming import Delivery
from bridge.errors import BrokerUnavailable, DeliveryLost
from worker.events.unconfirmed import Unconfirmed

SETTLE_BACK_OFF = BackOff(first=0.2, at_most=10.0)
"""The wait before a settlement that the broker did not confirm is sent again."""

UNCONFIRMED_AFTER = 10.0
"""Seconds that the broker may take to confirm a settlement before it counts as unconfirmed."""

FORGOTTEN_AFTER = 900.0
"""Seconds after which a lost delivery has surely been redelivered to another worker."""

SETTLED_REMEMBERED = 4096
"""The number of settled messages that are remembered. If the ack of one is lost with its connection, its redelivery is
acknowledged."""


class InFlight:
    """The events of this worker that are not settled.

    `trouble` and `hold_back` are those of `Unconfirmed`. `fewer` is called when an event has left.
    """

    def __init__(
        self, trouble: Callable[[], str], hold_back: Callable[[bool], None], fewer: Callable[[], None]
    ) -> None:
        self._fewer = fewer
        self._loop = asyncio.get_running_loop()  # kept, because to ask for it is a system call before Python 3.12
        self._held: set[EventInFlight] = set()
        self._by_token: dict[str, EventInFlight] = {}
        self._settled: OrderedDict[str, None] = OrderedDict()
        self._unconfirmed = Unconfirmed(trouble, hold_back, self._note_stuck)
        self._begun: Counter[str] = Counter()
        self._settling: dict[EventInFlight, float] = {}
        self._look_at_settling: asyncio.TimerHandle | None = None
        self._moved = 0.0
        self.settled: Counter[str] = Counter()
        """The number of attempts that this worker has settled, by queue."""

    def __len__(self) -> int:
        """The number of events that this worker holds. An event whose delivery was lost is not counted, because it is
        redelivered, here or to another worker."""
        return sum(not held.lost for held in self._held)

    @property
    def finished(self) -> int:
        """The number of events that this worker has settled."""
        return self.settled.total()

    @property
    def unconfirmed(self) -> int:
        """The number of settlements that the broker has not confirmed in time."""
        return len(self._unconfirmed)

    @property
    def holding_up(self) -> int:
        """The number of unconfirmed settlements because of which no event may begin."""
        return self._unconfirmed.holding

    @property
    def stuck(self) -> Mapping[str, int]:
        """The number of events of each queue that do not count as begun any more, because the broker has not confirmed
        their settlement for a minute. They are still held, and take up the queue's prefetch."""
        return Counter(held.queue for held in self._held if held.stuck)

    @property
    def begun(self) -> Mapping[str, int]:
        """The number of events of each queue that have begun now, without those that are settled or whose delivery was
        lost."""
        return self._begun

    def progress(self) -> float:
        """Return the seconds since an event was settled, or since one was delivered while the worker held none."""
        return self._loop.time() - self._moved

    def move(self) -> None:
        """Let the seconds of `progress` begin now."""
        self._moved = self._loop.time()

    def late(self, now: datetime) -> float:
        """Return for how many seconds the oldest event in this worker has been due. Retries do not count, because they
        have run before."""
        envelopes = [held.delivery.envelope for held in self._held]
        oldest = min((envelope.round_began for envelope in envelopes if envelope.attempt_number == 1), default=now)
        return max((now - oldest).total_seconds(), 0.0)

    def join(self, delivery: Delivery) -> bool:
        """Add a redelivery to its event, if that event is in flight in this worker. Return False if it is not."""
        held = self._by_token.get(delivery.token)
        if held is not None:
            held.renew(delivery)
        return held is not None

    def was_settled(self, delivery: Delivery) -> bool:
        """Return whether this worker has settled the event of a redelivery."""
        return delivery.token in self._settled

    def hold(self, delivery: Delivery) -> "EventInFlight":
        """Add the event of a delivery, and return it."""
        if not self._held:
            self._moved = self._loop.time()
        held = self._by_token[delivery.token] = EventInFlight(delivery, self)
        self._held.add(held)
        return held

    def stop_joining(self, held: "EventInFlight") -> None:
        """Make the next redelivery of this event a new event, because the run of this one is over."""
        if self._by_token.get(held.token) is held:  # RabbitMQ's delay ladder may deliver one message twice
            del self._by_token[held.token]

    def begin(self, held: "EventInFlight") -> None:
        """Count an event as begun."""
        held.counted = True
        self._begun[held.queue] += 1

    def leave(self, held: "EventInFlight") -> None:
        """Remove an event, and remember it if it was settled. An event that was not settled here runs again if it is
        delivered to this worker again."""
        if held.settled:
            self.settled[held.queue] += 1
            self._moved = self._loop.time()
            self._settled[held.token] = None
            if len(self._settled) > SETTLED_REMEMBERED:
                self._settled.popitem(last=False)
        self._held.discard(held)
        self.stop_joining(held)
        self.lost(held)

    def expect_no_more(self) -> None:
        """Stop waiting for redeliveries: this worker receives none any more, so lost deliveries go to other workers."""
        for held in self._held:
            held.expect_no_more()

    def unconfirm(self, held: "EventInFlight", why: str) -> None:
        """Note that the broker does not confirm the settlement of an event. `why` is used if `trouble` knows no
        reason."""
        self._unconfirmed.add(held, why)

    def begin_to_settle(self, held: "EventInFlight") -> None:
        """Note that the broker is asked now to settle an event."""
        loop = self._loop
        self._settling[held] = loop.time()
        if self._look_at_settling is None:  # one timer for all, because most settlements are confirmed at once
            self._look_at_settling = loop.call_later(UNCONFIRMED_AFTER, self._find_unconfirmed)

    def end_settling(self, held: "EventInFlight") -> None:
        """Note that the broker has answered."""
        self._settling.pop(held, None)

    def _find_unconfirmed(self) -> None:
        loop = self._loop
        self._look_at_settling = None
        while self._settling:
            held, since = next(iter(self._settling.items()))  # the oldest one
            if since + UNCONFIRMED_AFTER > loop.time():
                self._look_at_settling = loop.call_at(since + UNCONFIRMED_AFTER, self._find_unconfirmed)
                return
            del self._settling[held]
            self.unconfirm(held, f"no confirmation within {UNCONFIRMED_AFTER:g} s")

    def lost(self, held: "EventInFlight") -> None:
        """Stop counting an event, because it is over or its delivery was lost. A lost event must not hold up others:
        its redelivery may be queued after them."""
        if len(self._unconfirmed):
            self._unconfirmed.remove(held)
        held.stuck = False
        self._count_no_more(held)

    def _note_stuck(self, held: "EventInFlight") -> None:
        held.stuck = True
        self._count_no_more(held)

    def _count_no_more(self, held: "EventInFlight") -> None:
        if held.counted:
            held.counted = False
            self._begun[held.queue] -= 1
            self._fewer()


class EventInFlight:
    """An event that this worker holds, with its `name` and id.

    `lost`: the connection of its newest delivery broke. `settled`: the broker has confirmed its settlement. `counted`:
    it counts among the events of its queue that have begun. `stuck`: see `InFlight.stuck`.
    """

    __slots__ = (
        *("_deliveries", "_events", "_no_more_expected", "_renewed"),
        *("counted", "delivery", "event_id", "lost", "name", "queue", "settled", "stuck", "token"),
    )

    def __init__(self, delivery: Delivery, events: InFlight) -> None:
        self.token = delivery.token
        self.queue = delivery.queue
        event = delivery.envelope.event
        self.name = event.name
        self.event_id = event.id
        self.lost = False
        self.settled = False
        self.counted = False
        self.stuck = False
        self.delivery = delivery
        """The newest delivery of the event."""
        self._deliveries = [delivery]
        self._events = events
        self._renewed: asyncio.Event | None = None
        self._no_more_expected = False

    def renew(self, delivery: Delivery) -> None:
        """Add a redelivery of the same message, which the settlement uses from now on."""
        self.delivery = delivery
        self._deliveries.append(delivery)
        self.lost = False
        self._stop_waiting()

    def expect_no_more(self) -> None:
        """Stop waiting for a redelivery: if the delivery is lost, another worker receives it."""
        self._no_more_expected = True
        self._stop_waiting()

    async def settle(self, verb: Callable[[Delivery], Awaitable[None]]) -> bool:
        """Settle the event by a verb of `Delivery`, repeated until the broker has confirmed it. Return False if the
        delivery was lost and not redelivered to this worker: then another worker settles the event."""
        waits: Iterator[float] | None = None
        while True:
            delivery = self.delivery
            try:
                self._events.begin_to_settle(self)
                try:
                    await verb(delivery)
                finally:
                    self._events.end_settling(self)
            except BrokerUnavailable as error:
                self._events.unconfirm(self, str(error))
                waits = waits or SETTLE_BACK_OFF.waits(random.random)
                await asyncio.sleep(next(waits))
            except DeliveryLost:
                self._events.lost(self)
                if not await self._comes_again(delivery):
                    return False
                self._deliveries.remove(delivery)
            else:
                self.settled = True
                if len(self._deliveries) > 1:
                    await self._ack_all_but(delivery)
                return True

    async def give_back(self) -> bool:
        """Return the event to its queue, unless it is settled. Return False if the broker cannot be reached; then call
        this again, or close the connection, which also returns the event."""
        self._events.stop_joining(self)
        while self._deliveries and not self.settled:
            try:
                await self._deliveries[-1].give_back()
            except DeliveryLost:
                pass  # the broker has returned the event to its queue
            except BrokerUnavailable:
                return False
            self._deliveries.pop()
        return True

    async def _ack_all_but(self, settled: Delivery) -> None:
        """Acknowledge the other deliveries of the same message. One may have arrived during the settlement, or the
        broker has delivered the message twice on the same connection (a cluster's node that lost sight of us)."""
        for delivery in self._deliveries:
            if delivery is not settled:
                # If this fails, the message is redelivered once more, and acknowledged then.
                with contextlib.suppress(DeliveryLost, BrokerUnavailable):
                    await delivery.ack()

    async def _comes_again(self, lost: Delivery) -> bool:
        if self.delivery is lost and not self._no_more_expected:
            self.lost = True
            self._renewed = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FORGOTTEN_AFTER):
                    await self._renewed.wait()
        return self.delivery is not lost

    def _stop_waiting(self) -> None:
        if self._renewed is not None:
            self._renewed.set()
