"""The slots of a pool, and the line of requests that wait for one. `_assign` decides which request runs next: calls,
for whose answers somebody waits, come before events, but leave events their share.

The line is short on purpose: a few encoded requests wait in it, so that a slot is idle for no longer than one turn of
the event loop. The other deliveries stay with the broker's consumer, which can return them to their queue.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from typing import NamedTuple

from bridge.outcome import Exchange
from worker.slots.slot import NotTaken, Request, Slot


class NoSlotToCome(Exception):
    """The worker drains or has recalled the request, so the request will not get a slot."""


class NoSlotInTime(Exception):
    """The time of a call was over before it had a slot."""


class Ran(NamedTuple):
    """The exchange of a request, how many seconds it took in its slot, and the process id of the own child that ran it,
    None in a foreign pool."""

    exchange: Exchange
    seconds: float
    child: int | None = None


Turn = asyncio.Future[Slot]
"""The slot that a request in line will get."""
Line = deque[tuple[Request, Turn]]


def _do_nothing() -> None:
    """Do nothing when a request begins."""


class Slots:
    """The slots of one pool: free, or leased to a request.

    `size` is how many slots the pool should have; there are fewer while children boot or servers cannot be reached.
    With `in_turn`, the free slot that was used longest ago is next, so that each server has its share. Without it, the
    slot that was used last is next, because its memory is warm.
    """

    def __init__(self, size: int, *, in_turn: bool = False, calls: int | None = None) -> None:
        """`calls` is how many slots calls may fill (None: all but one, at least one)."""
        self.size = size
        self._calls = calls
        self._running_calls: set[Slot] = set()
        self._line_of_calls: Line = deque()
        self._owed = False
        self._next = 0 if in_turn else -1
        self._free: list[Slot] = []
        self._leased: set[Slot] = set()
        self._running: dict[Slot, Request] = {}
        self._vacating: dict[Slot, asyncio.Event] = {}
        self._line: Line = deque()
        self._line_moved = asyncio.Event()
        self._held_back = False
        self._draining = False

    def __repr__(self) -> str:
        return f"<Slots {len(self._free)} free, {len(self._leased)} leased, {len(self._line)} in line>"

    def __len__(self) -> int:
        """The number of slots that can be used, free or leased."""
        return len(self._leased) + sum(slot.usable for slot in self._free)

    @property
    def for_calls(self) -> int:
        """The number of slots that calls may fill."""
        return max(self.size - 1, 1) if self._calls is None else self._calls

    async def exchange(self, request: Request, deadline: float, begun: Callable[[], None] = _do_nothing) -> Ran:
        """Wait in line for a slot, send the request through it, and return its exchange. The exchange ends at most
        `deadline` seconds after it began. `begun` is called each time that a slot is about to send the request; if it
        raises, the request is not sent. If a slot does not take the request, that spends no attempt, and the request is
        first in line again.

        Raise `NoSlotToCome` if the worker drains, or recalls the request, before the request has a slot.
        """
        loop = asyncio.get_running_loop()
        turn = self._line_up(request, loop.create_future(), self._line, first=False)
        while True:
            try:
                slot = await turn
            except asyncio.CancelledError:
                self._leave_line(request, turn)
                raise
            try:
                begun()
                began = loop.time()
                self._running[slot] = request
                exchange = await slot.exchange(request, deadline)
                seconds = loop.time() - began
                if isinstance(exchange, NotTaken):  # line up before the slot is free, so that no request overtakes
                    turn = self._line_up(request, loop.create_future(), self._line, first=True)
            finally:
                self._running.pop(slot, None)
                self._release(slot)
            if not isinstance(exchange, NotTaken):
                await asyncio.sleep(0)  # the slot sends its next request before the caller settles this event
                return Ran(exchange, seconds, slot.pid)

    async def call(self, request: Request, until: float) -> Ran:
        """Run a call as `exchange` runs an event, but before the events in line. It ends at `until` by the clock of the
        event loop. Raise `NoSlotInTime` if it has no slot by then, `NoSlotToCome` if the worker drains before."""
        loop = asyncio.get_running_loop()
        turn = self._line_up(request, loop.create_future(), self._line_of_calls, first=False)
        while True:
            try:
                async with asyncio.timeout_at(until):
                    slot = await turn
            except (asyncio.CancelledError, TimeoutError) as error:
                self._leave_line(request, turn)
                if isinstance(error, TimeoutError):
                    raise NoSlotInTime from None
                raise
            try:
                began = loop.time()
                exchange = await slot.exchange(request, max(until - began, 0.0))
                if isinstance(exchange, NotTaken):
                    turn = self._line_up(request, loop.create_future(), self._line_of_calls, first=True)
            finally:
                self._release(slot)
            if not isinstance(exchange, NotTaken):
                return Ran(exchange, loop.time() - began, slot.pid)

    async def line_shorter_than(self, length: int) -> None:
        """Wait until fewer requests than `length` wait for a slot."""
        while len(self._line) >= length:
            self._line_moved.clear()
            await self._line_moved.wait()

    async def room_in_line(self, taken: int) -> int:
        """Wait until the line is shorter than the slots and the places in it that are `taken`, and return by how many
        requests."""
        while (room := self.size - taken - len(self._line)) <= 0:
            self._line_moved.clear()
            await self._line_moved.wait()
        return room

    def open(self, slot: Slot) -> None:
        """Use a further slot from now on. Raise `ValueError` if the slot is in use already."""
        if slot in self._leased or slot in self._free:
            raise ValueError(f"{slot!r} is in use already")
        self._free.append(slot)
        self._assign()

    def condemn(self, slot: Slot) -> None:
        """Give a slot no further request; a request that runs in it finishes. A second call changes nothing."""
        if slot in self._free:
            self._free.remove(slot)
        self._leased.discard(slot)

    async def vacate(self, slot: Slot) -> None:
        """Give a slot no further request, and return when no request runs in it."""
        leased = slot in self._leased
        self.condemn(slot)
        if leased:
            vacant = self._vacating[slot] = asyncio.Event()
            await vacant.wait()

    def hold_back(self, *, hold: bool) -> None:
        """Start no request while `hold` is set. Running requests finish."""
        if hold != self._held_back:
            self._held_back = hold
            self._assign()

    def recall(self, which: Callable[[Request], bool]) -> None:
        """Take requests out of the line, which end with `NoSlotToCome`. Running requests finish."""
        for request, turn in tuple(self._line):
            if not turn.done() and which(request):
                self._line.remove((request, turn))
                turn.set_exception(NoSlotToCome())
        self._line_moved.set()

    def interrupt(self, events: Collection[str]) -> None:
        """End the running requests of the events with these ids as at their deadline."""
        for slot, request in tuple(self._running.items()):
            if request.id in events:
                slot.interrupt()

    def drain(self) -> None:
        """Start no request any more: requests in line, and new ones, end with `NoSlotToCome`."""
        self._draining = True
        for line in (self._line, self._line_of_calls):
            for _request, turn in line:
                if not turn.done():
                    turn.set_exception(NoSlotToCome())
            line.clear()
        self._line_moved.set()

    def _assign(self) -> None:
        """Give slots to the requests in line. This is the whole policy: the requests of `_next_line` in its order,
        slots by `in_turn`. Free slots that broke are removed."""
        while (line := self._next_line()) is not None:
            _request, turn = line[0]
            if not turn.done():  # otherwise the request was cancelled, and is about to leave the line
                while self._free and not self._free[self._next].usable:
                    self._free.pop(self._next)
                if not self._free:
                    return
                slot = self._free.pop(self._next)
                self._leased.add(slot)
                self._note_turn(slot, is_call=line is self._line_of_calls)
                turn.set_result(slot)
            line.popleft()
            self._line_moved.set()

    def _next_line(self) -> "Line | None":
        """Return the line whose first request is next: calls before events, while calls have room. If calls have
        filled all slots, an event that waits is next after one of them. While events are held back, only calls run."""
        events = self._line if not self._held_back else None
        if self._line_of_calls and len(self._running_calls) < self.for_calls and not (self._owed and events):
            return self._line_of_calls
        return events or None

    def _note_turn(self, slot: Slot, *, is_call: bool) -> None:
        if is_call:
            self._running_calls.add(slot)
        self._owed = is_call and (self._owed or len(self._running_calls) >= len(self._leased) + len(self._free))

    def _line_up(self, request: Request, turn: Turn, line: Line, *, first: bool) -> Turn:
        if self._draining:
            raise NoSlotToCome
        if first:
            line.appendleft((request, turn))
        else:
            line.append((request, turn))
        self._assign()
        return turn

    def _leave_line(self, request: Request, turn: Turn) -> None:
        if turn.done() and not turn.cancelled():
            if turn.exception() is None:
                self._release(turn.result())  # the request got a slot in the moment in which it was cancelled
        else:
            for line in (self._line, self._line_of_calls):
                if (request, turn) in line:
                    line.remove((request, turn))
                    self._line_moved.set()

    def _release(self, slot: Slot) -> None:
        """Make a leased slot free again, unless it was condemned meanwhile or is no longer usable."""
        self._running_calls.discard(slot)
        if slot in self._leased:
            self._leased.remove(slot)
            if slot.usable:
                self._free.append(slot)
        if self._vacating and (vacant := self._vacating.pop(slot, None)):
            vacant.set()
        self._assign()
