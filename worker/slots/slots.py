"""The slots of a pool, and the line of requests that wait for one. `_assign` decides which request runs next: calls,
for whose answers somebody waits, come before events, but leave events their share.

The line is short on purpose: a few encoded requests wait in it, so that a slot is idle for no longer than one turn of
the event loop, and the requests that replace those which ended together are sent together. The other deliveries stay
with the broker's consumer, which can return them to their queue.

A slot may take several requests, of which one runs. Those that have not begun can be recalled: then they are first in
line again, in their order. So whatever holds for a request in line holds for them too.
"""

import asyncio
from bisect import insort
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from bridge.outcome import Exchange
from worker.slots.slot import End, NotTaken, Request, Run, Slot


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


@dataclass(eq=False, slots=True)
class _InLine(Run):
    """A request in line, or in a slot. `begun` is called before each time that a slot gets it. A call has to end at
    `until`, a time of the loop's clock."""

    place: int
    result: asyncio.Future[Ran]
    begun: Callable[[], None]
    until: float | None = None
    slot: Slot | None = None

    @property
    def at_once(self) -> bool:
        """True if it has to begin when a slot gets it."""
        return self.request.at_once or self.until is not None


def _do_nothing() -> None:
    """Do nothing when a request begins."""


class Slots:
    """The slots of one pool: free, or leased to requests.

    `size` is how many slots the pool should have; there are fewer while children boot or servers cannot be reached.
    With `in_turn`, the free slot that was used longest ago is next, so that each server has its share. Without it, the
    slot that was used last is next, because its memory is warm.
    """

    def __init__(self, size: int, *, in_turn: bool = False, calls: int | None = None) -> None:
        """`calls` is how many slots calls may fill (None: all but one, at least one)."""
        self.size = size
        self._calls = calls
        self._running_calls: set[Slot] = set()
        self._owed = False
        self._next = 0 if in_turn else -1
        self._free: list[Slot] = []
        self._leased: dict[Slot, set[_InLine]] = {}
        self._condemned: dict[Slot, set[_InLine]] = {}
        self._vacating: dict[Slot, asyncio.Event] = {}
        self._line: deque[_InLine] = deque()
        self._line_of_calls: deque[_InLine] = deque()
        self._line_moved = asyncio.Event()
        self._places = 0
        self._loop: asyncio.AbstractEventLoop | None = None  # kept: to ask for it is a system call before Python 3.12
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

    def exchange(
        self, request: Request, deadline: float, begun: Callable[[], None] = _do_nothing
    ) -> Coroutine[Any, Any, Ran]:
        """Send the request at once if a slot is free, else put it in line, and return what waits for its exchange. The
        exchange ends at most `deadline` seconds after the request began. `begun` is called each time that a slot is
        about to get the request; if it raises, the request is not sent. If a slot does not take the request, or the
        request is recalled, that spends no attempt, and the request is first in line again.

        Raise `NoSlotToCome` if the worker drains. The wait raises it if the worker drains, or recalls the request,
        before the request has begun.
        """
        return self._end_of(self._line_up(request, deadline, begun))

    async def _end_of(self, run: _InLine) -> Ran:
        try:
            return await run.result
        except asyncio.CancelledError:
            self._abandon(run)
            raise

    async def call(self, request: Request, until: float) -> Ran:
        """Run a call as `exchange` runs an event, but before the events in line. It ends at `until` by the clock of the
        event loop. Raise `NoSlotInTime` if it has no slot by then, `NoSlotToCome` if the worker drains before."""
        run = self._line_up(request, 0.0, _do_nothing, until)
        expiry = asyncio.get_running_loop().call_at(until, self._expire, run)
        try:
            return await run.result
        except asyncio.CancelledError:
            self._abandon(run)
            raise
        finally:
            expiry.cancel()

    async def all_begun(self) -> None:
        """Wait until no request waits, neither in line nor in a slot behind another."""
        while self._line or any(len(runs) > 1 for runs in self._leased.values()):
            self._line_moved.clear()
            await self._line_moved.wait()

    async def room_in_line(self, taken: int) -> int:
        """Wait until the line, without the places in it that are `taken`, has room for a further request. Return for
        how many it has, and those that slots would take at once."""
        while (room := self._length() - taken - len(self._line)) <= 0:
            self._line_moved.clear()
            await self._line_moved.wait()
        return room if self._line else room + sum(slot.room for slot in self._leased)

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
        elif slot in self._leased:
            self._condemned[slot] = self._leased.pop(slot)
            self.recalled(slot.recall())

    async def vacate(self, slot: Slot) -> None:
        """Give a slot no further request, and return when no request runs in it."""
        self.condemn(slot)
        if slot in self._condemned:
            vacant = self._vacating[slot] = asyncio.Event()
            await vacant.wait()

    def hold_back(self, *, hold: bool) -> None:
        """Start no request while `hold` is set. Running requests finish."""
        if hold != self._held_back:
            self._held_back = hold
            self.recalled(self._recall_from(self._leased) if hold else ())

    def recall(self, which: Callable[[Request], bool]) -> None:
        """Take requests out of the line, which end with `NoSlotToCome`. Running requests finish."""
        slots = [slot for slot, runs in self._leased.items() if any(which(run.request) for run in runs)]
        self._line_up_again(self._recall_from(slots))
        for run in tuple(self._line):
            if not run.result.done() and which(run.request):
                self._line.remove(run)
                run.result.set_exception(NoSlotToCome())
        self._line_moved.set()
        self._assign()

    def shorten(self) -> None:
        """End the newest requests in line that are more than it has room for with `NoSlotToCome`, in their order:
        events have become slow, and other workers may be free. While requests are held back, the broker is in trouble,
        and they stay."""
        surplus = 0 if self._held_back else len(self._line) - self._length()
        for run in reversed([self._line.pop() for _ in range(surplus)]):
            if not run.result.done():
                run.result.set_exception(NoSlotToCome())

    def interrupt(self, events: Collection[str]) -> None:
        """End the running requests of the events with these ids as at their deadline."""
        for slots in (self._leased, self._condemned):
            for slot, run in [(slot, run) for slot, runs in slots.items() for run in runs]:
                if run.request.id in events and run.until is None:
                    slot.interrupt(run)

    def drain(self) -> None:
        """Start no request any more: requests in line, and new ones, end with `NoSlotToCome`."""
        self._draining = True
        self.recalled(self._recall_from(self._leased))
        for line in (self._line, self._line_of_calls):
            for run in line:
                if not run.result.done():
                    run.result.set_exception(NoSlotToCome())
            line.clear()
        self._line_moved.set()

    def ended(self, run: Run, exchange: Exchange | NotTaken, seconds: float) -> None:
        """Note the exchange of a run. If the slot did not take it, it is first in line again."""
        self.ended_together(((run, exchange),), seconds)

    def ended_together(self, ends: Sequence[End], seconds: float) -> None:
        """Note the exchanges of runs that have ended together in a slot. Those that it did not take are first in line
        again."""
        over: list[tuple[_InLine, Ran]] = []
        for run, exchange in ends:
            assert isinstance(run, _InLine)
            slot = run.slot
            if slot is None:
                continue  # nobody waits for it any more
            self._leave(run)
            if isinstance(exchange, NotTaken):
                self._line_up_again((run,))
            else:
                over.append((run, Ran(exchange, seconds, slot.pid)))
        self._assign()  # the slot sends its next requests before the callers settle these events
        for run, ran in over:
            if not run.result.done():
                run.result.set_result(ran)

    def failed(self, run: Run, error: Exception) -> None:
        """Note that the worker itself has failed with a run."""
        assert isinstance(run, _InLine)
        self._leave(run)
        self._assign()
        if not run.result.done():
            run.result.set_exception(error)

    def recalled(self, runs: Sequence[Run]) -> None:
        """Take runs back that have not begun: they are first in line again."""
        self._line_up_again(runs)
        self._assign()

    def _length(self) -> int:
        """Return how many requests may wait in line: those that the slots take at a time, at least one for each."""
        return max(self.size, sum(slot.at_a_time for slot in self._leased))

    def _line_up(
        self, request: Request, deadline: float, begun: Callable[[], None], until: float | None = None
    ) -> _InLine:
        if self._draining:
            raise NoSlotToCome
        self._places += 1
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        result: asyncio.Future[Ran] = self._loop.create_future()
        run = _InLine(request, deadline, self, self._places, result, begun, until)
        self._line_of(run).append(run)
        self._assign()
        return run

    def _line_of(self, run: _InLine) -> deque[_InLine]:
        return self._line if run.until is None else self._line_of_calls

    def _line_up_again(self, runs: Iterable[Run]) -> None:
        """Put runs before all that have lined up after them."""
        for run in runs:
            assert isinstance(run, _InLine)
            self._leave(run)
            if run.result.done():
                continue
            if self._draining:
                run.result.set_exception(NoSlotToCome())
                continue
            insort(self._line_of(run), run, key=lambda each: each.place)

    def _recall_from(self, slots: Iterable[Slot]) -> list[Run]:
        return [run for slot in tuple(slots) for run in slot.recall()]

    def _abandon(self, run: _InLine) -> None:
        slot, line = run.slot, self._line_of(run)
        if slot is not None:
            run.slot = None  # its end is of no interest
            slot.abandon(run)
            run.slot = slot
            self._leave(run)
            self._assign()
        elif run in line:
            line.remove(run)
            self._line_moved.set()
            self._assign()

    def _expire(self, run: _InLine) -> None:
        """End a call that has no slot by its time."""
        if run in self._line_of_calls and not run.result.done():
            self._line_of_calls.remove(run)
            run.result.set_exception(NoSlotInTime())
            self._assign()

    def _assign(self) -> None:
        """Give slots to the requests in line. This is the whole policy: the requests of `_next_line` in its order,
        slots by `_slot_for`."""
        while (line := self._next_line()) is not None:
            run = line[0]
            if not run.result.done():  # otherwise the request was cancelled, and is about to leave the line
                slot = self._slot_for(run)
                if slot is None:
                    if run.until is not None:
                        self._make_room_for_a_call()
                    return
                line.popleft()
                self._hand_over(run, slot)
            else:
                line.popleft()
            self._line_moved.set()

    def _next_line(self) -> "deque[_InLine] | None":
        """Return the line whose first request is next: calls before events, while calls have room. If calls have
        filled all slots, an event that waits is next after one of them. While events are held back, only calls run."""
        events = self._line if not self._held_back else None
        if self._line_of_calls and len(self._running_calls) < self.for_calls and not (self._owed and events):
            return self._line_of_calls
        return events or None

    def _slot_for(self, run: _InLine) -> Slot | None:
        """Return a free slot, the one that is next by `in_turn`, else the slot with the fewest requests that takes
        another; None if there is none. Nothing waits behind a call. Free slots that broke are removed."""
        while self._free and not self._free[self._next].usable:
            self._free.pop(self._next)
        free = self._free[self._next] if self._free else None
        if free is not None and free.room:
            return free
        if run.at_once:
            return None
        best, fewest = None, 0
        for slot, runs in self._leased.items():
            if (best is None or len(runs) < fewest) and slot.room and slot not in self._running_calls:
                best, fewest = slot, len(runs)
        return best

    def _make_room_for_a_call(self) -> None:
        """Let no event wait in a slot before a call."""
        self._line_up_again(self._recall_from(slot for slot, runs in self._leased.items() if len(runs) > 1))

    def _hand_over(self, run: _InLine, slot: Slot) -> None:
        if run.until is not None:
            run.deadline = max(run.until - asyncio.get_running_loop().time(), 0.0)
        try:
            run.begun()
        except Exception as error:  # such as an event that has expired: it is its caller's
            run.result.set_exception(error)
            return
        if slot not in self._leased:
            self._free.remove(slot)
            self._leased[slot] = set()
        self._leased[slot].add(run)
        run.slot = slot
        if run.until is None:
            self._owed = False
        else:
            self._running_calls.add(slot)
            self._owed = self._owed or len(self._running_calls) >= len(self._leased) + len(self._free)
        try:
            slot.begin(run)
        except Exception as error:  # the worker's own: nobody knows what the slot has sent
            run.result.set_exception(error)
            self._abandon(run)

    def _leave(self, run: _InLine) -> None:
        """Take a run out of its slot. A slot without a run is free again, unless it was condemned meanwhile or is no
        longer usable."""
        slot, run.slot = run.slot, None
        if slot is None:
            return
        self._line_moved.set()
        self._running_calls.discard(slot)
        if (runs := self._leased.get(slot)) is not None:
            runs.discard(run)
            if not runs:
                del self._leased[slot]
                if slot.usable:
                    self._free.append(slot)
        elif (runs := self._condemned.get(slot)) is not None:
            runs.discard(run)
            if not runs:
                del self._condemned[slot]
                if (vacant := self._vacating.pop(slot, None)) is not None:
                    vacant.set()
