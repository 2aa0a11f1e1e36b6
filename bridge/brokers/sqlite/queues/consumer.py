"""Takes deliveries: looks for more rows whenever there may be some, and never holds more than the prefetch.

It looks after a settlement or a publish of this process (in the same transaction), after another process's commit, at
the time when an event is due, and at each heartbeat, which also releases the leases of consumers that have ended.
"""

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from bridge.brokers.any_broker.hand import Hand, lane_prefetch
from bridge.brokers.contract.consuming import Backlog
from bridge.brokers.sqlite.queues.delivery import SqliteDelivery
from bridge.brokers.sqlite.queues.lanes import LANES, lane_name
from bridge.brokers.sqlite.queues.leases import let_go, sweep
from bridge.brokers.sqlite.queues.rows import Catch, Events, now_microseconds
from bridge.errors import BridgeError, BrokerUnavailable, DeliveryLost
from bridge.handling import Priority
from bridge.local_database.database import Database
from bridge.local_database.wakeups import CONSUMER_MARK, Wakeup
from bridge.queues import Queue, priority_of

_HEARTBEAT = 0.7
_TIMER_AT_MOST = 3600.0
_log = logging.getLogger(__name__)

Caught = tuple[int, Catch]
"""The file, as `Database.replaced` counts them, and the events that were taken from it."""


class SqliteConsumer:
    """A consumer; see the contract. `wake_consumers` makes all consumers of this process look for new rows at once."""

    def __init__(
        self, database: Database, events: Events, wake_consumers: Callable[[], None], declared: Mapping[str, Queue]
    ) -> None:
        self.owner = ""
        self._declared = declared
        self._database = database
        self._events = events
        self._wake_consumers = wake_consumers
        self._lease: Wakeup | None = None
        self._prefetch: dict[str, int] = {}
        self._held: Counter[str] = Counter()
        self._handed_out: Counter[str] = Counter()
        self._hand = Hand[SqliteDelivery](declared, self._prefetch)
        self._arrival = asyncio.Event()
        self._contended: set[str] = set()
        self._most: dict[str, int] = {}
        self._asked: set[asyncio.Future[Caught]] = set()
        self._taking = False
        self._look_planned = False
        self._look_again = False
        self._trouble = ""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._heart: asyncio.Task[None] | None = None

    @property
    def live(self) -> frozenset[str]:
        return frozenset(self._prefetch) if self._taking and not self._trouble else frozenset()

    @property
    def trouble(self) -> str:
        return self._trouble

    @property
    def held(self) -> Mapping[str, int]:
        return self._handed_out + Counter(delivery.queue for delivery in self._hand)

    async def start(self, prefetch: Mapping[str, int]) -> None:
        self._lease = Wakeup.make(self._database.path, CONSUMER_MARK)
        self.owner = self._lease.owner
        self._prefetch.update(prefetch)
        self._measure()
        await self._sweep()
        self._taking = True
        self._database.watch(self.look)
        self._database.wakeups.own.add(self._lease.path)
        self._lease.listen(self.look)
        self._heart = asyncio.create_task(self._beat())
        self.look()

    async def adjust(self, prefetch: Mapping[str, int]) -> None:
        self._prefetch.update(prefetch)
        self._measure()
        await self._give_back_surplus(self._most)
        self.look()

    async def receive(self) -> SqliteDelivery:
        while (delivery := self._hand.next(self._handed_out)) is None:
            self._arrival.clear()
            await self._arrival.wait()
        delivery.handed_out = True
        self._handed_out[delivery.queue] += 1
        return delivery

    async def stop(self) -> None:
        self._taking = False
        self._database.hurry()
        self._database.unwatch(self.look)
        if self._timer is not None:
            self._timer.cancel()
        if self._heart is not None:
            self._heart.cancel()
        await self._give_back_surplus({})

    async def backlog(self) -> Mapping[str, Backlog]:
        return await self._database.run(self._events.backlog, writes=False)

    async def close(self) -> None:
        await self.stop()
        lease, self._lease = self._lease, None
        if lease is None:
            return
        try:
            await self._let_go([lease.owner])
        except BridgeError as error:
            _log.warning("%s; the next heartbeat of another consumer returns the held events to their queues", error)
        finally:
            self._database.wakeups.own.discard(lease.path)
            lease.end()
        self._wake_consumers()

    async def settle(self, delivery: SqliteDelivery, work: Callable[[sqlite3.Connection], None], wakes: bool) -> None:
        """Do the work of a verb. The delivery stops counting at once, so that the next one is taken in the same
        transaction."""
        if self._lease is None:
            raise DeliveryLost(f"delivery {delivery.token}: its consumer is closed")

        def settled(connection: sqlite3.Connection) -> None:
            if self._database.replaced != delivery.file:
                raise DeliveryLost(f"delivery {delivery.token}: the file that it came from was removed or replaced")
            work(connection)

        operation = self._database.submit(settled, wakes=wakes)
        self._count(delivery, -1)
        self._wake_consumers()
        try:
            await operation.future
        except BrokerUnavailable:
            self._count(delivery, 1)
            raise
        except asyncio.CancelledError:
            if operation.withdraw():
                self._count(delivery, 1)
            raise

    def _count(self, delivery: SqliteDelivery, more: int) -> None:
        self._held[delivery.lane] += more
        if delivery.handed_out:
            self._handed_out[delivery.queue] += more
            self._arrival.set()

    def _hold(self, rooms: Mapping[str, int], sign: int) -> None:
        """Count rooms as held while a look is under way, which may fill them."""
        held = self._held
        for lane, room in rooms.items():
            held[lane] = held.get(lane, 0) + sign * room

    def _measure(self) -> None:
        """Calculate how many events of each lane to hold."""
        self._most = {
            lane_name(queue, lane): lane_prefetch(
                most, contended=lane is not Priority.NORMAL or queue in self._contended
            )
            for queue, most in self._prefetch.items()
            if not self._is_ordered(queue)
            for lane in LANES
        } | {queue: min(most, 1) for queue, most in self._prefetch.items() if self._is_ordered(queue)}

    def _is_ordered(self, queue: str) -> bool:
        return queue in self._declared and self._declared[queue].ordered

    def look(self) -> None:
        """Look for rows in the next iteration of the event loop, once for all calls until then."""
        if self._taking and not self._look_planned:
            self._look_planned = True
            asyncio.get_running_loop().call_soon(self._take)

    def _take(self) -> None:
        self._look_planned = False
        if not self._taking:
            return
        self._look_again = bool(self._asked)  # a look that is under way may have come too early
        rooms = {lane: room for lane, most in self._most.items() if (room := most - self._held.get(lane, 0)) > 0}
        if not rooms:
            return
        self._hold(rooms, 1)
        owner = self.owner
        ordered = [queue for queue in rooms if self._is_ordered(queue)]
        unordered = {lane: room for lane, room in rooms.items() if lane not in ordered} if ordered else rooms

        def take(connection: sqlite3.Connection) -> Caught:
            return self._database.replaced, self._events.take(connection, owner, unordered, ordered)

        asked = self._database.submit(take).future
        self._asked.add(asked)
        asked.add_done_callback(lambda asked: self._taken(rooms, asked))

    def _taken(self, rooms: Mapping[str, int], asked: asyncio.Future[Caught]) -> None:
        self._asked.discard(asked)
        self._hold(rooms, -1)
        try:
            file, catch = asked.result()
        except BridgeError as error:
            self._note(error)  # the next heartbeat looks again
            return
        for taken in catch.taken:
            priority = priority_of(taken.envelope.event.handling, self._declared.get(taken.queue))
            delivery = SqliteDelivery(self, self._events, taken, priority, file)
            self._held[delivery.lane] += 1
            self._hand.add(delivery)
            if taken.lane != taken.queue and taken.queue not in self._contended:
                self._contended.add(taken.queue)
                self._measure()
                self.look()
        if catch.taken:
            self._arrival.set()
        if catch.next_due is not None:
            self._plan(catch.next_due)
        if self._look_again:
            self.look()

    def _plan(self, due: int) -> None:
        loop = asyncio.get_running_loop()
        when = loop.time() + min(max(due - now_microseconds(), 0) / 1_000_000, _TIMER_AT_MOST)
        if self._timer is not None and not self._timer.cancelled() and self._timer_at > loop.time():
            when = min(when, self._timer_at)
            self._timer.cancel()
        self._timer, self._timer_at = loop.call_at(when, self.look), when  # uvloop's timers cannot be asked when()

    async def _give_back_surplus(self, rooms: Mapping[str, int]) -> None:
        """Return the newest deliveries of each lane that were not handed out and are more than its room to their
        queues."""
        if self._asked:
            await asyncio.wait(self._asked)  # these may take more than the new prefetch
        surplus = Counter({lane: held - rooms.get(lane, 0) for lane, held in self._held.items()})
        returned: list[SqliteDelivery] = []
        for delivery in reversed(list(self._hand)):
            if surplus[delivery.lane] > 0:
                self._hand.remove(delivery)
                returned.append(delivery)
            surplus[delivery.lane] -= 1
        results = await asyncio.gather(*(delivery.give_back() for delivery in returned), return_exceptions=True)
        for delivery, error in zip(returned, results, strict=True):
            if error is None:
                continue
            _log.warning("%s; an event was not returned to its queue", error)
            if isinstance(error, BrokerUnavailable):
                self._hand.add(delivery)  # still held: it must be handed out, or it would fill the prefetch
                self._arrival.set()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT)
            try:
                await self._sweep()
                self._trouble = ""
            except BridgeError as error:
                self._note(error)
            self.look()

    async def _sweep(self) -> None:
        schema, path = self._events.schema, self._database.path
        ended = await self._database.run(lambda connection: sweep(connection, schema, path), writes=False)
        if ended:
            await self._let_go(ended)

    async def _let_go(self, owners: Sequence[str]) -> None:
        await self._database.run(lambda connection: let_go(connection, self._events.schema, owners), wakes=True)

    def _note(self, error: BridgeError) -> None:
        """Log the error, unless it is the same as before."""
        if str(error) != self._trouble:
            self._trouble = str(error)
            _log.warning("%s; trying again", error)
