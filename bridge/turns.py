"""Whose turn it is: shares by weight among those that have something waiting. Pure."""

from collections.abc import Callable, Collection
from typing import Generic, TypeVar

K = TypeVar("K")


class Turns(Generic[K]):
    """Turns of keys by their weight.

    While several keys wait, each gets turns in proportion to its weight, and each that keeps waiting gets one in the
    end. A key that had nothing waiting for some time gets no turns for that time afterwards, and a key that waits alone
    has nothing to pay for later. This is stride scheduling: a turn moves a key forward by 1/weight on a line, and the
    hindmost key is next.
    """

    def __init__(self, weight: Callable[[K], float]) -> None:
        self._weight = weight
        self._positions: dict[K, float] = {}
        self._hindmost = 0.0

    def next(self, waiting: Collection[K]) -> K:
        """Return the key whose turn it is, and count the turn; of several equal ones the first. `waiting` must not be
        empty."""
        if len(waiting) == 1:
            return next(iter(waiting))
        chosen, at = None, float("inf")
        for key in waiting:
            known = self._positions.get(key)
            position = self._hindmost + 1 / self._weight(key) if known is None else max(known, self._hindmost)
            self._positions[key] = position
            if chosen is None or position < at:
                chosen, at = key, position
        assert chosen is not None
        self._hindmost = at
        self._positions[chosen] = at + 1 / self._weight(chosen)
        return chosen
