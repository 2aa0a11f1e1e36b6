"""The take loop: receive deliveries from the broker, and start a task for each event that the gate lets begin.

`prefetch.py` decides how many deliveries to hold, `gate.py` whether an event may begin, and `in_flight.py` settles the
deliveries that are held.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, NoReturn

from bridge.brokers.contract.consuming import Consumer, Delivery
from bridge.controls import pause_of
from bridge.handling import Priority
from bridge.moments import Taken, Tell, hears, tell_nobody
from bridge.status import QueueStatus, ServingStatus
from worker.events.at_gate import AtGate
from worker.events.breakers import Breakers
from worker.events.broker_link import BrokerLink
from worker.events.defects import Defects
from worker.events.gate import GO, GateState, Go, Wait, may_begin
from worker.events.in_flight import EventInFlight, InFlight
from worker.events.metering import Meter
from worker.events.ordered_runs import OrderedRuns
from worker.events.prefetch import HELD_WHILE_FAST, LOOKED_EVERY, Pace, limits_of, rooms_of
from worker.events.replay import Replayer
from worker.events.steering import (
    GiveBack,
    Instead,
    Steering,
    Unsteered,
    come_back,
    instead_of_begin,
    may_not_begin,
    paused_patterns,
)
from worker.events.unrun import acknowledge, end_failed, give_back, leave_out
from worker.slots.slots import NoSlotToCome, Slots

TAKEN_AT_ONCE = 8
"""Deliveries that are taken in one turn of the event loop. With more, children that have no request would wait longer
for the loop."""

Gate = Callable[[str, float, GateState], Go | Wait]


class EventConsumer:
    """Takes deliveries and replays each, until `limit` events are taken (None: without limit)."""

    def __init__(
        self,
        broker: Consumer,
        slots: Slots,
        replayer: Replayer,
        limit: int | None = None,
        tell: Tell = tell_nobody,
        gate: Gate = may_begin,
        steering: Steering | None = None,
        meter: Meter | None = None,
        breakers: Breakers | None = None,
        held_while_fast: int = HELD_WHILE_FAST,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._broker = broker
        self._slots = slots
        self._replayer = replayer
        self._limit = limit
        self._tell = tell
        self._link = BrokerLink(tell)
        self._gate = gate
        self._steering = steering or Unsteered()
        self._meter = meter or Meter()
        self._breakers = breakers or Breakers({}, tell_nobody, self._loop.time)
        self._at_gate = AtGate(self._ask, self._begin)
        self._breakers.on_change = self._hold_or_free
        self._breakers.on_due = self._at_gate.look
        self._in_flight = InFlight(lambda: broker.trouble, self._hold_back, self._at_gate.look)
        self._tasks: dict[EventInFlight, asyncio.Task[None]] = {}
        self._draining = False
        self._breaks = broker.breaks
        self._defects = Defects()
        self._ordered = OrderedRuns([queue for queue, rules in replayer.rules.items() if rules.ordered])
        self._pace = Pace()
        self._held_while_fast = held_while_fast
        self._weighted = len({rules.weight for rules in replayer.rules.values()}) > 1
        self._prefetch: Mapping[str, int] = {}
        self._gate_state = GateState(
            in_flight=self._in_flight.begun,
            limits={},
            unconfirmed=0,
            buckets=self._meter.buckets,
            site_slots=self._meter.site_slots,
            breakers=self._breakers.by_queue,
        )
        self.taken = 0
        """The number of events that this worker has taken, redeliveries of the same event not counted."""

    @property
    def running(self) -> int:
        """The number of events that this worker holds unsettled, those that wait for a slot included."""
        return len(self._in_flight)

    @property
    def finished(self) -> int:
        """The number of events that this worker has settled."""
        return self._in_flight.finished

    def serving(self, deadline: float) -> ServingStatus:
        """Return how well events are taken and settled. `deadline` is the longest time that a replay may take, in
        seconds."""
        held = self._broker.held
        return ServingStatus(
            queues={queue: self._queue_status(queue, held.get(queue, 0)) for queue in self._replayer.rules},
            why=self._broker.trouble,
            slots=len(self._slots),
            unconfirmed=self._in_flight.unconfirmed,
            progress=round(self._in_flight.progress() if self._should_settle() else 0.0, 3),
            late=round(self._in_flight.late(datetime.now(UTC)), 3),
            deadline=deadline,
        )

    def _should_settle(self) -> bool:
        """Return True if the worker has an event that does not wait for a probe."""
        return self.running > self._at_gate.count(lambda held: self._breakers.holds(held.queue, held.name))

    def _queue_status(self, queue: str, held: int) -> QueueStatus:
        answer = self._ask(queue)
        waits = answer.why if isinstance(answer, Wait) else paused_patterns(self._steering.pauses)
        settled = self._in_flight.settled[queue]
        breaker = self._breakers.why(queue)
        return QueueStatus(
            live=queue in self._broker.live, waits=waits or breaker, breaker=breaker, held=held, settled=settled
        )

    async def start(self) -> None:
        """Start receiving deliveries."""
        self._measure()
        await self._broker.start(self._prefetch)

    async def run(self) -> str:
        """Take and replay events until `limit` events have a slot; return the reason to stop. On cancellation, events
        that still wait for a slot return to their queue."""
        try:
            while self._limit is None or self.taken < self._limit:
                for _ in range(min(await self._room(), TAKEN_AT_ONCE)):
                    self._take(await self._broker.receive())
                    if self.taken == self._limit:
                        break
                await asyncio.sleep(0)  # let the rest of the worker run, while many deliveries are there
            await self._at_gate.fewer_than(1)
            await self._slots.all_begun()
        except asyncio.CancelledError:
            self._return_waiting_events()
            raise
        return f"{self.taken} events were begun, as many as asked for"

    def _take(self, delivery: Delivery) -> None:
        self._look_for_break()
        if delivery.redelivered and self._needs_no_run(delivery):
            return
        self.taken += 1
        if hears(self._tell, Taken):
            self._tell(Taken(delivery.envelope, delivery.queue))
        self._admit(self._in_flight.hold(delivery))

    async def keep_pace(self) -> NoReturn:
        """Adjust the prefetch to the pace of the events and the size of the pool, and watch the link to the broker."""
        clock = asyncio.get_running_loop().time
        while True:
            finished, since = self.finished, clock()
            await asyncio.sleep(LOOKED_EVERY)
            self._look_for_break()
            live = not self._prefetch or bool(self._broker.live)
            self._link.look(live, self._broker.trouble, clock())
            self._steering.look(live=live)
            self._ordered.end_lost()
            self._pace = self._pace.after(
                self.finished - finished, clock() - since, self._slots.size, self._held_while_fast
            )
            await self._adjust()
            if self._limit is None:  # events that return to their queue would count as taken
                self._slots.shorten()
            self._at_gate.look()  # shares of rates may have changed

    def _look_for_break(self) -> None:
        """Let nothing begin after a break before the controls are read again. A break may be shorter than the time
        between two looks at the link. The events of the broken connection that have not begun are delivered again."""
        if self._broker.breaks != self._breaks:
            self._breaks = self._broker.breaks
            self._steering.look(live=False)
            self._slots.recall(lambda each: True)

    async def obey(self) -> NoReturn:
        """Apply what operators decide, whenever that changes. Events of a paused queue that wait for a slot return to
        their queue, and events that are cancelled end."""
        while True:
            await self._adjust()  # before events return to their queue, or they would come again at once
            waiting = self._at_gate.take_all()
            self._slots.recall(lambda each: may_not_begin(self._steering, each.queue, each.event, each.id))
            interrupted = self._steering.newly_interrupted()
            self._slots.interrupt(interrupted)
            for held in waiting:
                self._admit(held)
            await self._steering.changed()

    async def _adjust(self) -> None:
        prefetch = self._prefetch
        self._measure()
        if prefetch != self._prefetch:
            await self._broker.adjust(self._prefetch)

    async def drain(self, grace: float) -> int:
        """Wait up to `grace` seconds until the running events are settled, then cancel the others and return them to
        their queue. Return how many were cancelled. Events without a slot return to their queue at once; events whose
        delivery was lost are not waited for, because their redelivery goes to another worker."""
        self._return_waiting_events()
        self._in_flight.expect_no_more()
        if self._tasks:
            # A task that is cancelled before its first turn leaves its request in the slot. This gives each its turn,
            # also with a grace of 0.
            await asyncio.wait(self._tasks.values(), timeout=grace)
        unfinished = [task for task in self._tasks.values() if not task.done()]
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
        return len(unfinished)

    def _measure(self) -> None:
        """Calculate each queue's limit in flight and prefetch from the size of the pool and the pace of the events."""
        slots = self._slots.size
        rooms = rooms_of({queue: rules.slots for queue, rules in self._replayer.rules.items()}, slots)
        rooms = self._meter.rooms(rooms)
        self._gate_state.limits = limits_of(rooms, slots)
        prefetch = self._pace.prefetch(rooms, slots, weighted=self._weighted, held_while_fast=self._held_while_fast)
        prefetch = self._meter.prefetch(prefetch, rooms, self._in_flight.begun)
        prefetch |= dict.fromkeys(self._breakers.held, 1)
        idle = Counter(self._in_flight.stuck)
        idle.update(self._at_gate.queues_of(self._is_held_by_name))
        self._prefetch = {
            queue: 0 if pause_of(self._steering.pauses, queue) is not None else most + idle[queue]
            for queue, most in prefetch.items()
        }

    async def _room(self) -> int:
        """Wait until events may be taken, and return how many. Events of metered queues, and events that a breaker
        holds, that wait at the gate do not count: they are few, and may wait for long."""
        size = self._slots.size
        at_gate = await self._at_gate.fewer_than(size, self._waits_shortly)
        return await self._slots.room_in_line(at_gate)

    def _needs_no_run(self, delivery: Delivery) -> bool:
        """Return True if a redelivery's event is in flight in this worker, or was settled by it: then the redelivery
        joins that event, or is acknowledged."""
        if self._in_flight.join(delivery):
            return True
        if self._in_flight.was_settled(delivery):
            held = self._in_flight.hold(delivery)
            self._start(held, self._ended(held, partial(acknowledge, held)))
            return True
        return False

    def _admit(self, held: EventInFlight) -> None:
        instead = instead_of_begin(self._steering, held.delivery.envelope, held.queue)
        if instead is None:
            instead = self._unless_next_probe(held)
        if instead is not None and not self._draining:
            self._start(held, self._ended(held, partial(leave_out, held, instead, self._replayer)))
        else:
            self._at_gate.add(held)

    def _unless_next_probe(self, held: EventInFlight) -> Instead | None:
        """Return what becomes of an event that a breaker holds, None if it stays in hand or may begin. In a queue that
        is held as a whole, the other events stay in the queue. If others of its queue go on, it leaves its place to
        them, and one event of its name stays in hand as the next probe."""
        queue, name = held.queue, held.name
        if queue not in self._breakers.by_queue:
            return None
        if queue in self._breakers.held:  # a prefetch of 1 brings one event of each priority
            in_hand = self._at_gate.count(lambda each: each.queue == queue)
            return GiveBack() if in_hand >= len(Priority) else None
        if not self._breakers.holds(queue, name):
            return None
        if not self._at_gate.count(lambda each: (each.queue, each.name) == (queue, name)):
            return None
        seconds = self._breakers.comes_back_in(queue, name)
        return None if seconds is None else come_back(held.delivery.envelope, seconds)

    def _is_held_by_name(self, held: EventInFlight) -> bool:
        return self._breakers.holds_by_name(held.queue, held.name)

    def _waits_shortly(self, held: EventInFlight) -> bool:
        return held.queue not in self._meter.queues and not self._breakers.holds(held.queue, held.name)

    def _hold_or_free(self, queue: str, name: str | None) -> None:
        """Return the events of a queue, or of a name in it, that have not begun to the queue, but for the next probe.
        Or begin those that wait."""
        self._slots.recall(lambda each: each.queue == queue and name in (None, each.event))
        for held in self._at_gate.take_all():
            self._admit(held)

    def _hold_back(self, hold: bool) -> None:
        self._slots.hold_back(hold=hold)
        self._at_gate.look()

    def _ask(self, queue: str, event: str | None = None) -> Go | Wait:
        if self._draining:
            return GO  # the slots refuse the event, and it returns to its queue
        state = self._gate_state
        state.unconfirmed = self._in_flight.holding_up
        state.pauses = self._steering.pauses
        state.controls_unknown = self._steering.unknown
        state.event = event
        state.promised = self._meter.promised
        return self._gate(queue, self._loop.time(), state)

    def _return_waiting_events(self) -> None:
        """Return the events without a slot to their queue: the slots refuse each request from now on."""
        self._draining = True
        self._slots.drain()
        self._at_gate.look()

    def _begin(self, held: EventInFlight) -> None:
        self._in_flight.begin(held)
        if self._breakers.begins(held.queue, held.name, held.event_id):
            self._in_flight.move()  # the probe has waited for long, and nothing was to be settled
        self._meter.passed(held.queue, held.token)
        replay = self._replayer.replay(held, self._slots)  # sends the request before the task has its first turn
        self._ordered.add(held, self._start(held, self._run(held, replay)))

    def _start(self, held: EventInFlight, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Start the work that ends an event."""
        task = self._tasks[held] = self._loop.create_task(work)
        return task

    async def _ended(self, held: EventInFlight, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        finally:
            self._leave(held)

    def _leave(self, held: EventInFlight) -> None:
        """Note that an event is in flight no more."""
        del self._tasks[held]
        self._meter.left(held.queue, held.token)
        self._breakers.left(held.queue, held.name, held.event_id)
        self._in_flight.leave(held)

    async def _run(self, held: EventInFlight, replay: Coroutine[Any, Any, None]) -> None:
        """Replay an event. This ends it, as `_ended` does, without a coroutine in between."""
        try:
            await replay
        except (asyncio.CancelledError, NoSlotToCome):
            await give_back(held, again=lambda: not self._draining)
        except Exception as error:
            await end_failed(held, error, self._defects, self._replayer)
        finally:
            self._leave(held)
