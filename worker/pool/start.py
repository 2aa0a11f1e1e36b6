"""The start of a pool: decide whether it has failed, because all first children ended before their first request. The
caller watches the children. A child is any hashable object."""

from collections.abc import Iterable
from typing import Generic, TypeVar

C = TypeVar("C")


class Start(Generic[C]):
    """The first children that have neither run a request nor ended yet, until the start has succeeded or failed."""

    def __init__(self) -> None:
        self.failed: str | None = None
        """How the last of the first children ended, if the start has failed."""
        self._waiting: set[C] = set()

    def began(self, children: Iterable[C]) -> None:
        """Note the first children."""
        self._waiting = set(children)

    def succeeded(self) -> None:
        """Note that a child has served a request, or has lived well."""
        self._waiting.clear()

    def lost(self, child: C, how: str, *, excused: bool) -> bool:
        """Note that a child has ended. It is `excused` if something other than the app's start may have ended it: a
        request that ran in it, or somebody who has killed it. Return True if the start has failed by this."""
        if child not in self._waiting:
            return False
        self._waiting.discard(child)
        if excused:
            self.succeeded()
        elif not self._waiting:
            self.failed = how
        return self.failed is not None
