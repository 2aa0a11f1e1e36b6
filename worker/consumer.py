"""From the broker's deliveries to replays: a task for each event, no more at a time than there are slots.

A redelivery of what is running here joins that run. While a settlement cannot be confirmed, nothing new is begun.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from bridge.brokers.contract import Consumer, Delivery
from bridge.errors import BrokerUnavailable, DeliveryLost
from bridge.telemetry import log
from worker.held import HeldEvent
from worker.pace import LOOKED_EVERY, Pace
from worker.replay import Replayer
from worker.slot_queue import NoSlotToCome, SlotQueue
from worker.slots import Slot, Slots

SETTLED_REMEMBERED = 4096
"""How many settled messages are remembered, to ack them again where an ack was lost with its connection."""

DEFECT_GIVEN_BACK_AFTER = 1.0
"""Seconds before an event that met a defect of ours goes back, so that it does not come round in a hot loop."""


class EventConsumer:
    """Takes deliveries and replays each, until `limit` events are begun (None: without end)."""

    def __init__(self, broker: Consumer, slots: Slots, replayer: Replayer, limit: int | None = None) -> None:
        self._broker = broker
        self._slots = SlotQueue(slots)
        self._replayer = replayer
        self._limit = limit
        self._held: dict[str, HeldEvent] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._settled: OrderedDict[str, None] = OrderedDict()
        self._unconfirmed: set[HeldEvent] = set()
        self._pace = Pace()
        self._rooms: Mapping[str, int] = {}
        self._size = 1
        self._moved = 0.0
        self.taken = 0
        """How many events were accepted, to be replayed as soon as a slot is free."""
        self.finished = 0
        """How many events are settled."""

    @property
    def running(self) -> int:
        """How many events are in our hands. What was lost with its connection is in flight elsewhere by now, or comes
        again."""
        return sum(not held.lost for held in self._held.values())

    def serving(self) -> Mapping[str, Any]:
        """Return what tells whether events are taken and got on with. `progress`: seconds since an event was settled,
        or since the first one came where none was in our hands. `late`: for how many seconds the oldest one in our
        hands has been due; retries, which have run before, aside."""
        live, now = self._broker.live, datetime.now(UTC)
        envelopes = [held.delivery.envelope for held in self._held.values()]
        oldest = min((each.round_began for each in envelopes if each.attempt_number == 1), default=now)
        return {
            "queues": {queue: queue in live for queue in self._rooms},
            "why": self._broker.trouble,
            "slots": len(self._slots),
            "unconfirmed": len(self._unconfirmed),
            "progress": round(asyncio.get_running_loop().time() - self._moved, 3),
            "late": round(max((now - oldest).total_seconds(), 0.0), 3),
        }

    def open_slot(self, slot: Slot) -> None:
        """Use a further slot from now on."""
        self._slots.open(slot)

    def close_slot(self, slot: Slot) -> None:
        """Use a slot no more; what runs in it ends by itself."""
        self._slots.condemn(slot)

    async def vacate_slot(self, slot: Slot) -> None:
        """Use a slot no more, and return when nothing runs in it."""
        await self._slots.vacate(slot)

    async def run(self) -> str:
        """Take events and replay them, and return why it ended, when as many as asked for have a slot. Cancelled, it
        gives back what has none."""
        try:
            while self._limit is None or self.taken < self._limit:
                await self._slots.shorter_than(self._size)
                delivery = await self._broker.receive()
                if not await self._is_known(delivery):
                    self._begin(delivery)
                    await asyncio.sleep(0)  # it queues for a slot before the queue's length is looked at again
            await self._slots.shorter_than(1)
        except asyncio.CancelledError:
            self._slots.drain()
            raise
        return f"{self.taken} events were begun, as many as asked for"

    async def start(self, rooms: Mapping[str, int], slots: int) -> None:
        """Begin to receive. `rooms` says how many events of each queue may be in flight, in so many slots."""
        self._rooms, self._size = rooms, slots
        await self._broker.start(rooms)

    async def resize(self, rooms: Mapping[str, int], slots: int) -> None:
        """There are more slots from now on, or fewer."""
        self._rooms, self._size = rooms, slots
        await self._broker.adjust(self._pace.prefetch(rooms, slots))

    async def keep_pace(self) -> NoReturn:
        """Hold as many deliveries as the pace of the events asks for; see `worker.pace`."""
        clock = asyncio.get_running_loop().time
        while True:
            finished, since = self.finished, clock()
            await asyncio.sleep(LOOKED_EVERY)
            now = self._pace.after(self.finished - finished, clock() - since, self._size)
            if now != self._pace:
                self._pace = now
                await self._broker.adjust(now.prefetch(self._rooms, self._size))

    async def drain(self, grace: float) -> int:
        """Wait until what runs is settled, at most `grace` seconds; then cut it off and give it back. Return how many
        were cut off. What has no slot goes back at once; what was lost with its connection comes here no more."""
        self._slots.drain()
        for held in self._held.values():
            held.expect_no_more()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        return len(left)

    async def _is_known(self, delivery: Delivery) -> bool:
        if not delivery.redelivered:
            return False
        held = self._held.get(delivery.token)
        if held is not None:
            held.renew(delivery)
        elif delivery.token in self._settled:
            with contextlib.suppress(DeliveryLost):  # then it comes once more
                await delivery.ack()
        else:
            return False
        return True

    def _begin(self, delivery: Delivery) -> None:
        self.taken += 1
        if not self._held:
            self._moved = asyncio.get_running_loop().time()
        held = self._held[delivery.token] = HeldEvent(delivery, self._not_confirmed, self._nothing_to_confirm)
        task = asyncio.create_task(self._run(held))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, held: HeldEvent) -> None:
        token = held.delivery.token
        try:
            # What was not taken is kept for the next slot. The one that did not take it is out of the books: its pool
            # says why, and tries again with back-off.
            while await self._replayer.replay(held, self._slots):
                pass
            if held.settled:  # else it went elsewhere: should it come to us once more, it is not to be acked
                self.finished += 1
                self._moved = asyncio.get_running_loop().time()
                self._remember(token)
        except (asyncio.CancelledError, NoSlotToCome):
            await _give_back(held.delivery)
        except Exception:  # held for ever, it would run nowhere
            log.exception("a defect of the worker met an event; it goes back", extra={"event": token})
            await asyncio.sleep(DEFECT_GIVEN_BACK_AFTER)
            await _give_back(held.delivery)
        finally:
            if self._held.get(token) is held:  # RabbitMQ's ladder may hand on one message twice
                del self._held[token]
            self._nothing_to_confirm(held)

    def _remember(self, token: str) -> None:
        self._settled[token] = None
        if len(self._settled) > SETTLED_REMEMBERED:
            self._settled.popitem(last=False)

    def _not_confirmed(self, held: HeldEvent, why: str) -> None:
        if not self._unconfirmed:
            why = self._broker.trouble or why
            log.warning("the broker does not confirm; events are held and nothing new is begun", extra={"why": why})
            self._slots.hold_back(hold=True)
        self._unconfirmed.add(held)

    def _nothing_to_confirm(self, held: HeldEvent) -> None:
        """Begin events again where this was the last settlement that was not confirmed. What was lost with its
        connection is none: its redelivery may stand behind others, which must be taken for it to come."""
        if held not in self._unconfirmed:
            return
        self._unconfirmed.remove(held)
        if not self._unconfirmed:
            log.info("nothing is left to be confirmed; events are begun again")
            self._slots.hold_back(hold=False)


async def _give_back(delivery: Delivery) -> None:
    # Lost or unreachable: the broker has it, or will have it when our connection is closed.
    with contextlib.suppress(DeliveryLost, BrokerUnavailable):
        await delivery.give_back()
