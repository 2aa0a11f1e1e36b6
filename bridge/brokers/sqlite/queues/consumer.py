"""Takes deliveries: looks for more rows whenever there may be some, and never holds more than the prefetch.

It looks after a settlement or a publish of this process (in the same transaction), after another process's commit, at
the time when an event is due, and at each heartbeat, which also releases the leases of consumers that have ended.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bridge.brokers.any_broker.hand import Hand
from bridge.brokers.contract.consuming import Backlog
from bridge.brokers.sqlite.queues.counting import Counting
from bridge.brokers.sqlite.queues.delivery import SqliteDelivery, Work
from bridge.brokers.sqlite.queues.holding import Holding
from bridge.brokers.sqlite.queues.leases import let_go, sweep
from bridge.brokers.sqlite.queues.rounds import Rounds
from bridge.brokers.sqlite.queues.row import now_microseconds
from bridge.brokers.sqlite.queues.schema import Schema
from bridge.brokers.sqlite.queues.settling import Settling
from bridge.brokers.sqlite.queues.taking import Catch, Taking
from bridge.errors import BridgeError, BrokerUnavailable, DeliveryLost
from bridge.local_database.database import Database
from bridge.local_database.wakeups import CONSUMER_MARK, Wakeup
from bridge.queues import Queue, priority_of

_HEARTBEAT = 0.7
_TIMER_AT_MOST = 3600.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tables:
    """The operations of a consumer on the tables of one namespace."""

    schema: Schema
    taking: Taking
    settling: Settling
    counting: Counting


class SqliteConsumer:
    """A consumer; see the contract. `wake_consumers` makes all consumers of this process look for new rows at once."""

    def __init__(
        self, database: Database, tables: Tables, wake_consumers: Callable[[], None], declared: Mapping[str, Queue]
    ) -> None:
        self.owner = ""
        self._declared = declared
        self._database = database
        self._tables = tables
        self._wake_consumers = wake_consumers
        self._lease: Wakeup | None = None
        self._holding = Holding(declared)
        self._hand = Hand[SqliteDelivery](declared, self._holding.prefetch)
        self._arrival = asyncio.Event()
        self._waiting = False
        """True while the worker waits for a delivery. Some may be in hand, of a queue of which it has enough."""
        self._rounds = Rounds(
            database,
            tables.taking,
            tables.settling,
            self._holding,
            busy=lambda: bool(self._hand) and not self._waiting,
            caught=self._catch,
            failed=self._note,  # the next heartbeat looks again
        )
        self._trouble = ""
        self.breaks = 0
        """Always 0: what is told by way of the file is read from it, however long that takes."""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._heart: asyncio.Task[None] | None = None

    @property
    def live(self) -> frozenset[str]:
        return frozenset(self._holding.prefetch) if self._heart is not None and not self._trouble else frozenset()

    @property
    def trouble(self) -> str:
        return self._trouble

    @property
    def held(self) -> Mapping[str, int]:
        return self._holding.handed_out + Counter(delivery.queue for delivery in self._hand)

    async def start(self, prefetch: Mapping[str, int]) -> None:
        self._lease = Wakeup.make(self._database.path, CONSUMER_MARK)
        self.owner = self._lease.owner
        self._holding.set_prefetch(prefetch)
        await self._sweep()
        self._database.watch(self.look)
        self._database.wakeups.own.add(self._lease.path)
        self._lease.listen(self.look)
        self._heart = asyncio.create_task(self._beat())
        self._rounds.start(self.owner)

    async def adjust(self, prefetch: Mapping[str, int]) -> None:
        self._holding.set_prefetch(prefetch)
        await self._give_back_surplus(self._holding.most)
        self.look()

    async def receive(self) -> SqliteDelivery:
        while (delivery := self._hand.next(self._holding.handed_out)) is None:
            self._waiting = True
            self._rounds.hurry()
            self._arrival.clear()
            try:
                await self._arrival.wait()
            finally:
                self._waiting = False
        self._holding.hand_out(delivery)
        return delivery

    async def stop(self) -> None:
        self._rounds.stop()
        self._database.hurry()
        self._database.unwatch(self.look)
        if self._timer is not None:
            self._timer.cancel()
        if self._heart is not None:
            self._heart.cancel()
            self._heart = None
        await self._give_back_surplus({})

    async def backlog(self) -> Mapping[str, Backlog]:
        return await self._database.run(self._tables.counting.backlog, writes=False)

    async def close(self) -> None:
        await self.stop()
        lease, self._lease = self._lease, None
        if lease is None:
            return
        self._rounds.begin()  # the settlements that wait are written before the leases end
        try:
            await self._let_go([lease.owner])
        except BridgeError as error:
            _log.warning("%s; the next heartbeat of another consumer returns the held events to their queues", error)
        finally:
            self._database.wakeups.own.discard(lease.path)
            lease.end()
        self._wake_consumers()

    async def settle(self, delivery: SqliteDelivery, work: Work | None, *, wakes: bool) -> None:
        """Do the work of a verb, or acknowledge without any."""
        if self._lease is None:
            raise DeliveryLost(f"delivery {delivery.token}: its consumer is closed")
        if work is not None:
            self._wake_consumers()
        try:
            await self._rounds.settle(delivery, work, wakes=wakes)
        finally:
            self._arrival.set()

    def look(self) -> None:
        """Look for rows soon, once for all calls until then."""
        self._rounds.look()

    def _catch(self, catch: Catch, file: int) -> None:
        for taken in catch.taken:
            priority = priority_of(taken.envelope.event.handling, self._declared.get(taken.queue))
            delivery = SqliteDelivery(self, self._tables.settling, taken, priority, file)
            if self._holding.hold(delivery):
                self.look()
            self._hand.add(delivery)
        if catch.taken:
            self._arrival.set()
        if catch.next_due is not None:
            self._plan_look(catch.next_due)

    def _plan_look(self, due: int) -> None:
        loop = asyncio.get_running_loop()
        when = loop.time() + min(max(due - now_microseconds(), 0) / 1_000_000, _TIMER_AT_MOST)
        if self._timer is not None and not self._timer.cancelled() and self._timer_at > loop.time():
            when = min(when, self._timer_at)
            self._timer.cancel()
        self._timer, self._timer_at = loop.call_at(when, self.look), when  # uvloop's timers cannot be asked when()

    async def _give_back_surplus(self, rooms: Mapping[str, int]) -> None:
        """Return the newest deliveries of each lane that were not handed out and are more than its room to their
        queues."""
        await self._rounds.looked()  # these may take more than the new prefetch
        surplus = self._holding.surplus(rooms)
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
        schema, path = self._tables.schema, self._database.path
        ended = await self._database.run(lambda connection: sweep(connection, schema, path), writes=False)
        if ended:
            await self._let_go(ended)

    async def _let_go(self, owners: Sequence[str]) -> None:
        await self._database.run(
            lambda connection: let_go(connection, self._tables.schema, owners), wakes=CONSUMER_MARK
        )

    def _note(self, error: BridgeError) -> None:
        """Log the error, unless it is the same as before."""
        if str(error) != self._trouble:
            self._trouble = str(error)
            _log.warning("%s; trying again", error)
