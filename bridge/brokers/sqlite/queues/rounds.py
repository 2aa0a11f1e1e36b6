"""The transactions of one consumer: each writes the settlements that wait, and looks for events in the same round.

While the consumer has events to hand out, a round begins when the one before has ended, and at most every `TICK`
seconds, so that many settlements share one commit, one write to the disk and one change of threads. A round that would
only acknowledge, in lanes of which most is still held or in which the last look has found all events, waits for
`LONG_TICK`: nobody waits for it.

While the worker waits for an event, a look begins at once. Plain acknowledgements are not in its transaction, since the
look would wait for the disk with them: they follow `LONG_TICK` after the last ones. They go with the look if none was
written for `2 * LONG_TICK`, if an event returns to its queue, or if the queue is ordered.
"""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bridge.brokers.sqlite.queues.delivery import SqliteDelivery, Work
from bridge.brokers.sqlite.queues.holding import Holding
from bridge.brokers.sqlite.queues.settlements import Settlement, carry_out
from bridge.brokers.sqlite.queues.settling import Settling
from bridge.brokers.sqlite.queues.taking import Catch, Taking
from bridge.errors import BrokerUnavailable, DeliveryLost
from bridge.local_database.database import Database
from bridge.local_database.wakeups import CONSUMER_MARK

TICK = 0.002
"""Seconds between the beginnings of two rounds while there are events to hand out."""
LONG_TICK = 0.003
"""The same for a round that nobody waits for. It is short, because a kill repeats what is not settled."""


@dataclass(frozen=True, slots=True)
class _Done:
    """What came of a round: the file, as `Database.replaced` counts them, the error of each settlement, and the events
    that were taken."""

    file: int
    errors: list[DeliveryLost | None]
    catch: Catch


class Rounds:
    """Settles and takes. `busy` returns True while there are events to hand out. `caught` gets the events of each
    round, with the count of the file that they are from, `failed` the error of a look that could not be done."""

    def __init__(
        self,
        database: Database,
        taking: Taking,
        settling: Settling,
        holding: Holding,
        *,
        busy: Callable[[], bool],
        caught: Callable[[Catch, int], None],
        failed: Callable[[BrokerUnavailable], None],
    ) -> None:
        self._database = database
        self._taking = taking
        self._settling = settling
        self._holding = holding
        self._busy = busy
        self._caught = caught
        self._failed = failed
        self._owner = ""
        self._looking = False
        self._settlements: list[Settlement] = []
        self._looks: set[asyncio.Future[_Done]] = set()
        self._under_way = 0
        self._again = False
        self._look_again = False
        self._wanted = False
        self._next: asyncio.Handle | None = None
        self._next_at = self._began = self._settled = 0.0
        self._next_is_soon = False

    def start(self, owner: str) -> None:
        """Take events for this owner, until `stop`."""
        self._owner, self._looking = owner, True
        self.look()

    def stop(self) -> None:
        """Take no more events. Settlements are still written."""
        self._looking = False

    def look(self) -> None:
        """Look for events soon, once for all calls until then."""
        if self._looking:
            self._wanted = True
            self._plan()

    def hurry(self) -> None:
        """Begin the round that waits sooner if it may: there is nothing to hand out any more, or a round has ended."""
        if self._next is not None or self._again:
            self._plan()

    async def looked(self) -> None:
        """Wait until the looks that are under way are over."""
        if self._looks:
            await asyncio.wait(self._looks)

    async def settle(self, delivery: SqliteDelivery, work: Work | None, *, wakes: bool) -> None:
        """Write a settlement. The delivery stops counting at once, so that the next one is taken in the same
        transaction."""
        settlement = Settlement(delivery, work, wakes)
        self._settlements.append(settlement)
        self._holding.let_go(delivery)
        awaited = self._looking and not self._busy()
        self._wanted = self._wanted or work is not None or self._holding.wants(delivery.lane, at_all=awaited)
        self._plan()
        try:
            await settlement.settled
        except asyncio.CancelledError:
            if settlement in self._settlements:  # else it is with the database, and may take effect
                self._settlements.remove(settlement)
                self._holding.hold(delivery)
            raise

    def begin(self) -> None:
        """Submit one operation: the settlements that wait, a look for events, or both."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        awaited = self._looking and not self._busy()
        looks = self._looking and (self._wanted or not awaited or self._could_take())
        self._next_is_soon = self._again = self._wanted = False
        self._began = asyncio.get_running_loop().time()
        rooms: dict[str, int] = {}
        if looks:
            self._look_again = bool(self._looks)  # a look that is under way may have come too early
            rooms = self._holding.rooms()
        settlements: list[Settlement] = []
        if self._settlements and not (looks and awaited and self._may_follow(rooms)):
            settlements, self._settlements = self._settlements, []
            self._settled = self._began
        if settlements or rooms:
            self._submit(settlements, rooms)
        if self._settlements:
            self._plan()

    def _could_take(self) -> bool:
        """Return True if there is room for events in the lanes of the settlements that wait, and there may be some."""
        return any(
            self._holding.wants(lane, at_all=True) for lane in {each.delivery.lane for each in self._settlements}
        )

    def _may_follow(self, rooms: Mapping[str, int]) -> bool:
        """Return True if the settlements that wait may follow a look in a round of their own. An event that returns to
        its queue is there for a look only after it is settled, and a look in an ordered queue is synced itself."""
        if self._began > self._settled + 2 * LONG_TICK:
            return False  # else they could wait without limit for a pause between looks
        return all(each.work is None for each in self._settlements) and not any(map(self._holding.is_ordered, rooms))

    def _plan(self) -> None:
        if self._next_is_soon:
            return
        loop = asyncio.get_running_loop()
        in_hand = self._looking and self._busy()
        if in_hand and self._under_way:
            self._again = True
            return
        if in_hand:
            at = self._began + (TICK if self._wanted else LONG_TICK)
        else:
            at = 0.0 if self._wanted or not self._looking else self._settled + LONG_TICK
        if self._next is not None:
            if self._next_at <= at:
                return
            self._next.cancel()
        if at > loop.time():
            self._next, self._next_at = loop.call_at(at, self.begin), at
        else:
            self._next, self._next_is_soon = loop.call_soon(self.begin), True

    def _submit(self, settlements: Sequence[Settlement], rooms: Mapping[str, int]) -> None:
        owner, database, taking, settling = self._owner, self._database, self._taking, self._settling
        ordered = [queue for queue in rooms if self._holding.is_ordered(queue)]
        unordered = {lane: room for lane, room in rooms.items() if lane not in ordered} if ordered else rooms

        def work(connection: sqlite3.Connection) -> _Done:
            errors = carry_out(connection, settling, owner, database.replaced, settlements)
            catch = taking.take(connection, owner, unordered, ordered) if rooms else Catch([], None)
            return _Done(database.replaced, errors, catch)

        wakes = CONSUMER_MARK if any(settlement.wakes for settlement in settlements) else None
        try:
            # A power cut ends all leases, so a look alone need not be synced. The turn of an ordered queue must be.
            done = database.submit(work, durable=bool(settlements or ordered), wakes=wakes).future
        except BrokerUnavailable as error:
            self._fail(settlements, error)
            return
        if rooms:
            self._looks.add(done)
        self._holding.reserve(rooms, 1)
        self._under_way += 1
        done.add_done_callback(lambda done: self._end(settlements, rooms, done))

    def _end(self, settlements: Sequence[Settlement], rooms: Mapping[str, int], ended: "asyncio.Future[_Done]") -> None:
        self._looks.discard(ended)
        self._under_way -= 1
        self._holding.reserve(rooms, -1)
        if self._again:
            asyncio.get_running_loop().call_soon(self.hurry)
        try:
            done = ended.result()
        except Exception as error:
            self._fail(settlements, error)
            if rooms and isinstance(error, BrokerUnavailable):
                self._failed(error)
            elif rooms:
                raise
            return
        for settlement, lost in zip(settlements, done.errors, strict=True):
            settlement.end(lost)
        if rooms:
            self._holding.note_look(rooms, Counter(taken.lane for taken in done.catch.taken))
        self._caught(done.catch, done.file)
        if self._look_again:
            self.look()

    def _fail(self, settlements: Sequence[Settlement], error: Exception) -> None:
        """End settlements that were not written. Those that failed together are tried again one by one, because one of
        them may be the reason."""
        if len(settlements) > 1:
            for settlement in settlements:
                self._submit([settlement], {})
            self.look()
            return
        for settlement in settlements:
            if isinstance(error, BrokerUnavailable) and not settlement.settled.done():
                self._holding.hold(settlement.delivery)
            settlement.end(error)
