"""The events that this worker holds and that wait at the gate, in the order of their arrival."""

import asyncio
from collections.abc import Callable, Collection
from math import inf

from worker.events.gate import Go, Wait
from worker.events.in_flight import EventInFlight


class AtGate:
    """Events that the gate asks to wait. `ask` asks the gate, by a queue and the name of an event; `begin` is called
    with each event that the gate lets through."""

    def __init__(self, ask: Callable[[str, str], Go | Wait], begin: Callable[[EventInFlight], None]) -> None:
        self._ask = ask
        self._begin = begin
        self._waiting: list[EventInFlight] = []
        self._fewer = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, held: EventInFlight) -> None:
        """Begin an event, or let it wait. An event of the same queue never overtakes another."""
        if not self._waiting and isinstance(self._ask(held.queue, held.name), Go):
            self._begin(held)
        else:
            self._waiting.append(held)
            self.look()

    def look(self) -> None:
        """Begin the events that the gate lets through. Look again when the first `Wait` is over."""
        if not self._waiting:
            return
        waits: dict[str, Wait] = {}
        waiting: list[EventInFlight] = []
        for held in self._waiting:
            answer = waits.get(held.queue) or self._ask(held.queue, held.name)
            if isinstance(answer, Wait):
                waits[held.queue] = answer
                waiting.append(held)
            else:
                self._begin(held)
        self._waiting = waiting
        self._fewer.set()
        self._look_again(min((wait.seconds for wait in waits.values()), default=inf))

    def count(self, queue: str) -> int:
        """Return how many events of this queue wait."""
        return sum(held.queue == queue for held in self._waiting)

    def take_all(self) -> list[EventInFlight]:
        """Return the events that wait, which then wait here no more."""
        waiting, self._waiting = self._waiting, []
        self._fewer.set()
        return waiting

    async def fewer_than(self, number: int, *, without: Collection[str] = ()) -> int:
        """Wait until fewer events than `number` wait, without those of the queues `without`. Return their number."""
        if not self._waiting:
            return 0
        while (waiting := sum(held.queue not in without for held in self._waiting)) >= number:
            self._fewer.clear()
            await self._fewer.wait()
        return waiting

    def _look_again(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.look) if seconds < inf else None
