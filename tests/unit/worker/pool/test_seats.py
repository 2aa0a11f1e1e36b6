"""The seats of a pool: which children are seated, spare or leaving, and how many should boot."""

from worker.pool.seats import Moves, Seats


def seats_with(size: int, spare: int, *children: str) -> Seats[str]:
    """Return the seats of a pool in which these children are ready."""
    seats: Seats[str] = Seats(size, spare)
    seats.booting = len(children)
    for child in children:
        seats.ready(child)
    return seats


def test_ready_children_take_the_seats_and_the_next_child_is_spare() -> None:
    """Seats are filled first."""
    seats: Seats[str] = Seats(2, 1)
    seats.booting = 3
    assert [seats.ready(child) for child in "abc"] == [Moves(["a"]), Moves(["b"]), Moves()]
    assert repr(seats) == "<Seats 2/2 seated, 1 spare, 0 booting, 0 due, 0 leaving>"


def test_booting_children_are_not_missing() -> None:
    """No child is booted twice for the same seat."""
    seats: Seats[str] = Seats(2, 1)
    assert seats.missing() == 3
    seats.booting = 2
    assert seats.missing() == 1
    seats.failed()
    assert seats.missing() == 2


def test_a_spare_takes_the_seat_of_a_lost_child() -> None:
    """The spare is seated at once, and another spare is missing."""
    seats = seats_with(2, 1, "a", "b", "c")
    assert seats.lost("a", "was killed") == Moves(["c"])
    assert (seats.seats[0].child, seats.seats[0].restarts, seats.seats[0].why) == ("c", 1, "was killed")
    assert seats.missing() == 1


def test_a_seat_without_a_spare_stays_empty_until_one_is_ready() -> None:
    """The next ready child takes the seat."""
    seats = seats_with(1, 0, "a")
    assert seats.lost("a", "was killed") == Moves()
    assert seats.missing() == 1
    seats.booting = 1
    assert seats.ready("b") == Moves(["b"])


def test_a_lost_spare_moves_no_other_child() -> None:
    """No seat has lost a child."""
    seats = seats_with(1, 1, "a", "b")
    assert seats.lost("b", "was killed") == Moves()
    assert (seats.missing(), seats.seats[0].restarts) == (1, 0)


def test_an_unknown_child_that_is_lost_changes_nothing() -> None:
    """A child may be lost twice: its request times out, and then the child ends."""
    seats = seats_with(1, 1, "a", "b", "c")
    seats.lost("a", "out of time")
    assert seats.lost("a", "was killed") == Moves()
    assert seats.seats[0].restarts == 1


def test_a_due_child_leaves_when_a_spare_has_its_seat() -> None:
    """The spare is seated first."""
    seats = seats_with(2, 1, "a", "b", "c")
    assert seats.due("a", "old") == Moves(["c"], ["a"])
    assert (seats.leaving, seats.holds("a")) == ({"a": "old"}, False)
    seats.lost("a", "old")
    assert seats.leaving == {}


def test_a_due_child_keeps_its_seat_while_there_is_no_spare() -> None:
    """A spare is booted for it, although the pool keeps no spare."""
    seats = seats_with(1, 0, "a")
    assert seats.due("a", "old") == Moves()
    assert (seats.missing(), list(seats.seated())) == (1, ["a"])
    seats.booting = 1
    assert seats.ready("b") == Moves(["b"], ["a"])
    assert seats.missing() == 0


def test_due_children_leave_one_by_one() -> None:
    """No more children leave at once than there are spares."""
    seats = seats_with(2, 1, "a", "b", "c")
    assert [seats.due("a", "old"), seats.due("b", "old")] == [Moves(["c"], ["a"]), Moves()]
    assert seats.missing() == 1
    seats.booting = 1
    assert seats.ready("d") == Moves(["d"], ["b"])


def test_a_due_child_that_is_lost_is_no_longer_due() -> None:
    """The seat has the reason of the loss."""
    seats = seats_with(1, 0, "a")
    seats.due("a", "old")
    seats.lost("a", "was killed")
    assert (seats.missing(), seats.seats[0].why) == (1, "was killed")


def test_new_seats_are_filled_by_the_spare_first() -> None:
    """The other new seats are filled by children that boot."""
    seats = seats_with(1, 1, "a", "b")
    assert seats.resize(3) == Moves(["b"])
    assert [seat.number for seat in seats.seats] == [1, 2, 3]
    assert seats.missing() == 2


def test_the_seats_with_the_highest_numbers_are_removed() -> None:
    """The other children keep their seats."""
    seats = seats_with(3, 0, "a", "b", "c")
    assert seats.resize(1) == Moves([], ["c", "b"])
    assert (seats.missing(), list(seats.seated())) == (0, ["a"])


def test_a_child_that_is_ready_too_late_leaves() -> None:
    """All seats and spares are taken."""
    seats = seats_with(1, 1, "a", "b")
    seats.booting = 1
    assert seats.ready("c") == Moves([], ["c"])


def test_new_children_take_all_seats_at_once() -> None:
    """Old children and old spares leave, and children that boot no longer count."""
    seats = seats_with(2, 1, "a", "b", "c")
    seats.booting = 1
    moves = seats.renew(["x", "y"], "reloaded")
    assert moves.sit == ["x", "y"]
    assert set(moves.leave) == {"a", "b", "c"}
    assert (seats.booting, seats.missing()) == (0, 1)
    assert repr(seats) == "<Seats 2/2 seated, 0 spare, 0 booting, 0 due, 3 leaving>"
