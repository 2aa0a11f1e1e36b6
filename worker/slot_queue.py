"""The queue for slots: whoever waits gets the next free one, in turn, the moment that it is free.

It is short on purpose: a few deliveries wait here with their request made, so that a slot is idle for no longer than a
turn of the loop; the others stay with the broker's consumer, which can give them back.
"""

import asyncio
from collections import deque

from worker.slots import Slot, Slots


class NoSlotToCome(Exception):
    """The worker drains: whoever has no slot by now gets none."""


class SlotQueue:
    """Slots, and those who wait for one."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._waiting: deque[asyncio.Future[Slot]] = deque()
        self._leaving: dict[Slot, asyncio.Event] = {}
        self._moved = asyncio.Event()
        self._held_back = False
        self._draining = False

    def __len__(self) -> int:
        """How many slots there are, free or leased."""
        return len(self._slots)

    async def lease(self) -> Slot:
        """Return a slot, as soon as it is one's turn. Raise `NoSlotToCome`."""
        if self._draining:
            raise NoSlotToCome
        mine: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        self._hand_out()
        try:
            return await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled() and mine.exception() is None:
                self.release(mine.result())  # it came in the very moment
            raise

    async def shorter_than(self, length: int) -> None:
        """Wait until fewer wait than this."""
        while len(self._waiting) >= length:
            self._moved.clear()
            await self._moved.wait()

    def release(self, slot: Slot) -> None:
        """Take a leased slot back; the next in turn has it at once."""
        self._slots.give_back(slot)
        if left := self._leaving.pop(slot, None):
            left.set()
        self._hand_out()

    def open(self, slot: Slot) -> None:
        """Use a further slot from now on."""
        self._slots.open(slot)
        self._hand_out()

    def condemn(self, slot: Slot) -> None:
        """Use a slot no more; what runs in it ends by itself."""
        self._slots.condemn(slot)

    async def vacate(self, slot: Slot) -> None:
        """Use a slot no more, and return when nothing runs in it."""
        if self._slots.condemn(slot):
            self._leaving[slot] = asyncio.Event()
            await self._leaving[slot].wait()

    def hold_back(self, *, hold: bool) -> None:
        """Hand out nothing for now, or go on."""
        self._held_back = hold
        self._hand_out()

    def drain(self) -> None:
        """Hand out nothing any more."""
        self._draining = True
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(NoSlotToCome())
        self._moved.set()

    def _hand_out(self) -> None:
        while self._waiting and not self._held_back:
            if self._waiting[0].done():  # cancelled meanwhile
                self._waiting.popleft()
                continue
            slot = self._slots.lease()
            if slot is None:
                break
            self._waiting.popleft().set_result(slot)
        self._moved.set()
