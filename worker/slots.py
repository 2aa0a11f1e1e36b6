"""Slots: which are free, leased or gone. Bookkeeping only: whoever calls closes and boots.

A slot is room for one event in flight. What failed is condemned, not returned.
"""

from typing import Protocol

from bridge.outcome import Exchange


class Slot(Protocol):
    """Room for one event in flight: an own child, or a connection to somebody else's pool."""

    async def exchange(self, parameters: dict[str, str], body: bytes, deadline: float) -> Exchange:
        """Send one request and return what came of it within `deadline` seconds. Never raises for what a server
        does."""

    @property
    def usable(self) -> bool:
        """Whether a further request may go through it."""


class Slots:
    """The books of a pool's slots. A slot is free, leased, or not in the books.

    The slot used last is leased first, for its memory is warm; with `in_turn` the one used longest ago, so that each
    server has its share."""

    def __init__(self, *, in_turn: bool = False) -> None:
        self._next = 0 if in_turn else -1
        self._free: list[Slot] = []
        self._leased: set[Slot] = set()

    def __repr__(self) -> str:
        return f"<Slots {len(self._free)} free, {len(self._leased)} leased>"

    def __len__(self) -> int:
        return len(self._leased) + sum(slot.usable for slot in self._free)

    def open(self, slot: Slot) -> None:
        """Take a new slot into the books, free. Raise `ValueError` for one that is there."""
        if slot in self._leased or slot in self._free:
            raise ValueError(f"{slot!r} is in the books already")
        self._free.append(slot)

    def lease(self) -> Slot | None:
        """Return a free slot, or None. Those that broke while they were free leave the books."""
        while self._free:
            slot = self._free.pop(self._next)
            if slot.usable:
                self._leased.add(slot)
                return slot
        return None

    def give_back(self, slot: Slot) -> None:
        """Take a leased slot back; one that was condemned meanwhile, or is not usable, is out of the books."""
        if slot in self._leased:
            self._leased.remove(slot)
            if slot.usable:
                self._free.append(slot)

    def condemn(self, slot: Slot) -> bool:
        """Take a slot out of the books, free or leased; one that is not in them changes nothing. Return whether it was
        leased."""
        if slot in self._free:
            self._free.remove(slot)
        leased = slot in self._leased
        self._leased.discard(slot)
        return leased
