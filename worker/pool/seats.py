"""The seats of a pool: which children are seated, spare or leaving. Bookkeeping only; the caller boots and ends
children.

A seat is a place for one child that takes requests; a seat outlives its children. A spare is a warm child that waits
for a seat. Each change returns the `Moves` that the caller must carry out. A child is any hashable object.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

C = TypeVar("C")


@dataclass(slots=True)
class Seat(Generic[C]):
    """A numbered place for a child. `restarts` counts the children that the seat has lost, `why` is the reason of the
    last loss."""

    number: int
    child: C | None = None
    restarts: int = 0
    why: str | None = None

    def lose(self, why: str) -> None:
        """Empty the seat."""
        self.child = None
        self.restarts += 1
        self.why = why


@dataclass(slots=True)
class Moves(Generic[C]):
    """Changes that the caller must carry out, in this order: children that begin to take requests, and children that
    must leave."""

    sit: list[C] = field(default_factory=list)
    leave: list[C] = field(default_factory=list)


class Seats(Generic[C]):
    """The seats of a pool and its spares: `size` seats, and `spare` spares to keep."""

    def __init__(self, size: int, spare: int) -> None:
        self.size = size
        self.spare = spare
        self.booting = 0
        """The number of children that boot now."""
        self.seats: list[Seat[C]] = [Seat(number) for number in range(1, size + 1)]
        self.spares: list[C] = []
        self.leaving: dict[C, str] = {}
        """Children that take no more requests and have not ended, with the reasons why they leave."""
        self._due: dict[C, str] = {}

    def __repr__(self) -> str:
        seated = sum(1 for _ in self.seated())
        return (
            f"<Seats {seated}/{self.size} seated, {len(self.spares)} spare, {self.booting} booting, "
            f"{len(self._due)} due, {len(self.leaving)} leaving>"
        )

    def seated(self) -> Iterator[C]:
        """Yield the children that take requests."""
        return (seat.child for seat in self.seats if seat.child is not None)

    def holds(self, child: C) -> bool:
        """Return whether the child is seated or spare."""
        return child in self.spares or child in self.seated()

    def missing(self) -> int:
        """Return how many more children should boot. A child that is due needs a spare to take its seat."""
        spares = max(self.spare, 1 if self._due else 0)
        present = sum(1 for _ in self.seated()) + len(self.spares) + self.booting
        return max(0, self.size + spares - present)

    def ready(self, child: C) -> Moves[C]:
        """Note that a child that was booting is warm."""
        self.booting -= 1
        self.spares.append(child)
        return self._moves()

    def failed(self) -> None:
        """Note that a child that was booting has failed."""
        self.booting -= 1

    def lost(self, child: C, why: str) -> Moves[C]:
        """Note that a child has ended, or is about to be killed. Do nothing if the child is unknown."""
        self._forget(child)
        for seat in self.seats:
            if seat.child == child:
                seat.lose(why)
        return self._moves()

    def due(self, child: C, why: str) -> Moves[C]:
        """Mark a seated child for replacement. It keeps serving until a spare can take its seat."""
        if child in self.seated():
            self._due.setdefault(child, why)
        return self._moves()

    def resize(self, size: int) -> Moves[C]:
        """Change the number of seats; seats with the highest numbers go first."""
        self.size = size
        return self._moves()

    def renew(self, children: Iterable[C], why: str) -> Moves[C]:
        """Give all seats to new children at once. All earlier children leave, and children that boot now no longer
        count."""
        leave = [*self.seated(), *self.spares]
        for seat in self.seats:
            if seat.child is not None:
                seat.lose(why)
        self.booting = 0
        self._due.clear()
        self.spares = list(children)
        moves = self._moves()
        for child in leave:
            self.leaving[child] = why
        return Moves(moves.sit, moves.leave + leave)

    def _moves(self) -> Moves[C]:
        moves: Moves[C] = Moves()
        while len(self.seats) > self.size:
            seat = self.seats.pop()
            if seat.child is not None:
                self._dismiss(seat.child, "fewer children were asked for", moves)
        self.seats += [Seat(number) for number in range(len(self.seats) + 1, self.size + 1)]
        for seat in self.seats:
            if seat.child is None and self.spares:
                self._sit(seat, moves)
        for seat in self.seats:
            if seat.child is not None and seat.child in self._due and self.spares:
                child, why = seat.child, self._due[seat.child]
                seat.lose(why)
                self._sit(seat, moves)
                self._dismiss(child, why, moves)
        while len(self.spares) > self.spare:
            self._dismiss(self.spares[-1], "no seat is free", moves)
        return moves

    def _sit(self, seat: Seat[C], moves: Moves[C]) -> None:
        seat.child = self.spares.pop(0)
        moves.sit.append(seat.child)

    def _dismiss(self, child: C, why: str, moves: Moves[C]) -> None:
        self._forget(child)
        self.leaving[child] = why
        moves.leave.append(child)

    def _forget(self, child: C) -> None:
        self._due.pop(child, None)
        self.leaving.pop(child, None)
        if child in self.spares:
            self.spares.remove(child)
