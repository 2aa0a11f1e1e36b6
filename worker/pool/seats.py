"""The books of a pool: who sits, who is spare, who has to leave. Bookkeeping only: whoever calls boots and ends.

A seat is a place for one child that takes requests; it outlives the children that sit in it. A spare is warm and waits
for a seat. Each change returns the `Moves` that follow from it. A child is anything that can be told from others.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

C = TypeVar("C")


@dataclass(slots=True)
class Seat(Generic[C]):
    """A numbered place. `restarts` counts the children that it has lost, `why` says how the last one went."""

    number: int
    child: C | None = None
    restarts: int = 0
    why: str | None = None

    def lose(self, why: str) -> None:
        """Empty it."""
        self.child = None
        self.restarts += 1
        self.why = why


@dataclass(slots=True)
class Moves(Generic[C]):
    """What the caller must carry out, in this order: who begins to take requests, and who must leave."""

    sit: list[C] = field(default_factory=list)
    leave: list[C] = field(default_factory=list)


class Seats(Generic[C]):
    """So many seats, and so many spares to be kept beside them."""

    def __init__(self, size: int, spare: int) -> None:
        self.size = size
        self.spare = spare
        self.booting = 0
        """How many children were asked for and are not ready."""
        self.seats: list[Seat[C]] = [Seat(number) for number in range(1, size + 1)]
        self.spares: list[C] = []
        self.leaving: dict[C, str] = {}
        """Those that take no more requests and have not ended, and why they leave."""
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
        """Tell whether the child sits or is spare."""
        return child in self.spares or child in self.seated()

    def missing(self) -> int:
        """Return how many more children should boot. One that is due needs a spare to take its seat."""
        beside = max(self.spare, 1 if self._due else 0)
        have = sum(1 for _ in self.seated()) + len(self.spares) + self.booting
        return max(0, self.size + beside - have)

    def ready(self, child: C) -> Moves[C]:
        """A child that was booting is warm."""
        self.booting -= 1
        self.spares.append(child)
        return self._moves()

    def failed(self) -> None:
        """A child that was booting is not coming."""
        self.booting -= 1

    def lost(self, child: C, why: str) -> Moves[C]:
        """A child has ended, or is as good as lost. One that the books do not hold changes nothing."""
        self._forget(child)
        for seat in self.seats:
            if seat.child == child:
                seat.lose(why)
        return self._moves()

    def due(self, child: C, why: str) -> Moves[C]:
        """A seated child should be replaced, as soon as a spare can take its seat; until then it goes on."""
        if child in self.seated():
            self._due.setdefault(child, why)
        return self._moves()

    def resize(self, size: int) -> Moves[C]:
        """From now on so many seats; those with the highest numbers go first."""
        self.size = size
        return self._moves()

    def renew(self, children: Iterable[C], why: str) -> Moves[C]:
        """Let new children take all seats at once. Whoever was here leaves; who was booting is not expected any
        more."""
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
