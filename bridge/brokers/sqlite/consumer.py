"""Takes deliveries: asks the database for more whenever there may be some, and never holds more than the prefetch.

What wakes it: a settlement or a publish of this process (then the taking joins their transaction), another process's
commit, the time at which something is due, and a slow heartbeat, in which the leases of ended consumers are swept.
"""

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from bridge.brokers.contract import Backlog
from bridge.brokers.sqlite.database import Database
from bridge.brokers.sqlite.delivery import SqliteDelivery
from bridge.brokers.sqlite.events import Catch, Events, now_microseconds
from bridge.brokers.sqlite.leases import Lease, let_go, sweep
from bridge.errors import BridgeError, BrokerUnavailable, DeliveryLost

_HEARTBEAT = 0.7
_TIMER_AT_MOST = 3600.0
_log = logging.getLogger(__name__)

Caught = tuple[int, Catch]
"""From which file, as `Database.replaced` counts them, and what."""


class SqliteConsumer:
    """A consumer. `stir` lets this process's other consumers look at once."""

    def __init__(self, database: Database, events: Events, stir: Callable[[], None]) -> None:
        self.owner = ""
        self._database = database
        self._events = events
        self._stir = stir
        self._lease: Lease | None = None
        self._prefetch: dict[str, int] = {}
        self._held: Counter[str] = Counter()
        self._ready: asyncio.Queue[SqliteDelivery] = asyncio.Queue()
        self._asked: set[asyncio.Future[Caught]] = set()
        self._taking = False
        self._look_planned = False
        self._look_again = False
        self._said: str | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._heart: asyncio.Task[None] | None = None

    @property
    def live(self) -> frozenset[str]:
        return frozenset(self._prefetch) if self._taking and self._said is None else frozenset()

    @property
    def trouble(self) -> str:
        return self._said or ""

    async def start(self, prefetch: Mapping[str, int]) -> None:
        self._lease = Lease.begin(self._database.path)
        self.owner = self._lease.owner
        self._prefetch = dict(prefetch)
        await self._sweep()
        self._taking = True
        self._database.watch(self.look)
        self._database.bells.own.add(self._lease.bell)
        self._lease.listen(self.look)
        self._heart = asyncio.create_task(self._beat())
        self.look()

    async def adjust(self, prefetch: Mapping[str, int]) -> None:
        self._prefetch |= prefetch
        await self._give_back_surplus(self._prefetch)
        self.look()

    async def receive(self) -> SqliteDelivery:
        return await self._ready.get()

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
            _log.warning("%s; what was held comes back by the next sweep", error)
        finally:
            self._database.bells.own.discard(lease.bell)
            lease.end()
        self._stir()

    async def settle(self, delivery: SqliteDelivery, work: Callable[[sqlite3.Connection], None], rings: bool) -> None:
        """Do the work of a verb. Its place is free at once, so that what follows is taken in the same transaction."""
        if self._lease is None:
            raise DeliveryLost(f"delivery {delivery.token}: its consumer is closed")

        def settled(connection: sqlite3.Connection) -> None:
            if self._database.replaced != delivery.file:
                raise DeliveryLost(f"delivery {delivery.token}: the file that it came from was removed or replaced")
            work(connection)

        operation = self._database.submit(settled, rings=rings)
        self._held[delivery.queue] -= 1
        self._stir()
        try:
            await operation.future
        except BrokerUnavailable:
            self._held[delivery.queue] += 1
            raise
        except asyncio.CancelledError:
            if operation.withdraw():
                self._held[delivery.queue] += 1
            raise

    def look(self) -> None:
        """Take what there is, soon: once for all reasons that come in one turn of the loop."""
        if self._taking and not self._look_planned:
            self._look_planned = True
            asyncio.get_running_loop().call_soon(self._take)

    def _take(self) -> None:
        self._look_planned = False
        if not self._taking:
            return
        self._look_again = bool(self._asked)  # what is under way may have looked too early
        rooms = {queue: most - self._held[queue] for queue, most in self._prefetch.items() if most > self._held[queue]}
        if not rooms:
            return
        self._held.update(rooms)
        owner = self.owner

        def take(connection: sqlite3.Connection) -> Caught:
            return self._database.replaced, self._events.take(connection, owner, rooms)

        asked = self._database.submit(take).future
        self._asked.add(asked)
        asked.add_done_callback(lambda asked: self._taken(rooms, asked))

    def _taken(self, rooms: Mapping[str, int], asked: asyncio.Future[Caught]) -> None:
        self._asked.discard(asked)
        self._held.subtract(rooms)
        try:
            file, catch = asked.result()
        except BridgeError as error:
            self._say_once(error)  # the next heartbeat looks again
            return
        for taken in catch.taken:
            self._held[taken.queue] += 1
            self._ready.put_nowait(SqliteDelivery(self, self._events, taken, file))
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

    async def _give_back_surplus(self, prefetch: Mapping[str, int]) -> None:
        """Give back, of what nobody has seen yet, the newest that are more than these."""
        if self._asked:
            await asyncio.wait(self._asked)  # it may bring more than is wanted now
        surplus = Counter({queue: held - prefetch.get(queue, 0) for queue, held in self._held.items()})
        unseen = [self._ready.get_nowait() for _ in range(self._ready.qsize())]
        kept: list[SqliteDelivery] = []
        returned: list[SqliteDelivery] = []
        for delivery in reversed(unseen):
            (returned if surplus[delivery.queue] > 0 else kept).append(delivery)
            surplus[delivery.queue] -= 1
        for delivery in reversed(kept):
            self._ready.put_nowait(delivery)
        results = await asyncio.gather(*(delivery.give_back() for delivery in returned), return_exceptions=True)
        for delivery, error in zip(returned, results, strict=True):
            if error is None:
                continue
            _log.warning("%s; an event is not given back", error)
            if isinstance(error, BrokerUnavailable):
                self._ready.put_nowait(delivery)  # it is still held, and would fill the prefetch for ever

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT)
            try:
                await self._sweep()
                self._said = None
            except BridgeError as error:
                self._say_once(error)
            self.look()

    async def _sweep(self) -> None:
        schema, path = self._database.schema, self._database.path
        ended = await self._database.run(lambda connection: sweep(connection, schema, path), writes=False)
        if ended:
            await self._let_go(ended)

    async def _let_go(self, owners: Sequence[str]) -> None:
        await self._database.run(lambda connection: let_go(connection, self._database.schema, owners), rings=True)

    def _say_once(self, error: BridgeError) -> None:
        if str(error) != self._said:
            self._said = str(error)
            _log.warning("%s; trying again", error)
