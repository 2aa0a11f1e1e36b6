"""The events that this worker holds and that wait at the gate, in the order of their arrival."""

import asyncio
from collections.abc import Callable
from math import inf

from worker.events.gate import Go, Wait
from worker.events.in_flight import EventInFlight


def _each(held: EventInFlight) -> bool:
    """Return True: each event counts."""
    return True


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
        """Begin an event, or let it wait. An event of the same queue and name never overtakes another."""
        if not self._waiting and isinstance(self._ask(held.queue, held.name), Go):
            self._begin(held)
        else:
            self._waiting.append(held)
            self.look()

    def look(self) -> None:
        """Begin the events that the gate lets through. Look again when the first `Wait` is over."""
        if not self._waiting:
            return
        waits: dict[tuple[str, str], Wait] = {}
        waiting: list[EventInFlight] = []
        for held in self._waiting:
            group = (held.queue, held.name)
            answer = waits.get(group) or self._ask(*group)
            if isinstance(answer, Wait):
                waits[group] = answer
                waiting.append(held)
            else:
                self._begin(held)
        self._waiting = waiting
        self._fewer.set()
        self._look_again(min((wait.seconds for wait in waits.values()), default=inf))

    def count(self, which: Callable[[EventInFlight], bool]) -> int:
        """Return how many events of this kind wait."""
        return sum(map(which, self._waiting))

    def queues_of(self, which: Callable[[EventInFlight], bool]) -> list[str]:
        """Return the queue of each event of this kind that waits."""
        return [held.queue for held in self._waiting if which(held)]

    def take_all(self) -> list[EventInFlight]:
        """Return the events that wait, which then wait here no more."""
        waiting, self._waiting = self._waiting, []
        self._fewer.set()
        return waiting

    async def fewer_than(self, number: int, which: Callable[[EventInFlight], bool] = _each) -> int:
        """Wait until fewer events of this kind (by default all) than `number` wait. Return their number."""
        if not self._waiting:
            return 0
        while (waiting := self.count(which)) >= number:
            self._fewer.clear()
            await self._fewer.wait()
        return waiting

    def _look_again(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.look) if seconds < inf else None
