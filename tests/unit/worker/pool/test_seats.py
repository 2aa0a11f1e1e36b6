"""The books of a pool: who sits, who is spare, who leaves, and how many should boot."""

from worker.pool.seats import Moves, Seats


def seats(size: int, spare: int, *children: str) -> Seats[str]:
    """Books in which these children are ready."""
    books: Seats[str] = Seats(size, spare)
    books.booting = len(children)
    for child in children:
        books.ready(child)
    return books


def test_children_sit_as_they_get_ready_and_the_next_is_spare() -> None:
    """Seats first."""
    books: Seats[str] = Seats(2, 1)
    books.booting = 3
    assert [books.ready(child) for child in "abc"] == [Moves(["a"]), Moves(["b"]), Moves()]
    assert repr(books) == "<Seats 2/2 seated, 1 spare, 0 booting, 0 due, 0 leaving>"


def test_what_is_missing_is_counted_with_those_that_boot() -> None:
    """Nothing is booted twice."""
    books: Seats[str] = Seats(2, 1)
    assert books.missing() == 3
    books.booting = 2
    assert books.missing() == 1
    books.failed()
    assert books.missing() == 2


def test_a_spare_takes_the_seat_of_one_that_is_lost() -> None:
    """At once; and another spare is missing."""
    books = seats(2, 1, "a", "b", "c")
    assert books.lost("a", "was killed") == Moves(["c"])
    assert (books.seats[0].child, books.seats[0].restarts, books.seats[0].why) == ("c", 1, "was killed")
    assert books.missing() == 1


def test_a_seat_without_a_spare_stays_empty_until_one_is_ready() -> None:
    """Then that one sits."""
    books = seats(1, 0, "a")
    assert books.lost("a", "was killed") == Moves()
    assert books.missing() == 1
    books.booting = 1
    assert books.ready("b") == Moves(["b"])


def test_a_lost_spare_moves_nobody() -> None:
    """No seat has lost a child."""
    books = seats(1, 1, "a", "b")
    assert books.lost("b", "was killed") == Moves()
    assert (books.missing(), books.seats[0].restarts) == (1, 0)


def test_who_is_not_in_the_books_changes_nothing() -> None:
    """A child may be lost twice: it is out of time, and then it ends."""
    books = seats(1, 1, "a", "b", "c")
    books.lost("a", "out of time")
    assert books.lost("a", "was killed") == Moves()
    assert books.seats[0].restarts == 1


def test_one_that_is_due_leaves_when_a_spare_has_its_seat() -> None:
    """The spare sits first."""
    books = seats(2, 1, "a", "b", "c")
    assert books.due("a", "old") == Moves(["c"], ["a"])
    assert (books.leaving, books.holds("a")) == ({"a": "old"}, False)
    books.lost("a", "old")
    assert books.leaving == {}


def test_one_that_is_due_goes_on_while_no_spare_is_there() -> None:
    """One is booted for it, though none is kept."""
    books = seats(1, 0, "a")
    assert books.due("a", "old") == Moves()
    assert (books.missing(), list(books.seated())) == (1, ["a"])
    books.booting = 1
    assert books.ready("b") == Moves(["b"], ["a"])
    assert books.missing() == 0


def test_those_that_are_due_at_a_time_leave_one_by_one() -> None:
    """Never more of them at once than there are spares."""
    books = seats(2, 1, "a", "b", "c")
    assert [books.due("a", "old"), books.due("b", "old")] == [Moves(["c"], ["a"]), Moves()]
    assert books.missing() == 1
    books.booting = 1
    assert books.ready("d") == Moves(["d"], ["b"])


def test_one_that_is_due_and_is_lost_is_due_no_more() -> None:
    """Its seat was filled for another reason."""
    books = seats(1, 0, "a")
    books.due("a", "old")
    books.lost("a", "was killed")
    assert (books.missing(), books.seats[0].why) == (1, "was killed")


def test_more_seats_are_filled_by_the_spare_first() -> None:
    """And then by what boots."""
    books = seats(1, 1, "a", "b")
    assert books.resize(3) == Moves(["b"])
    assert [seat.number for seat in books.seats] == [1, 2, 3]
    assert books.missing() == 2


def test_fewer_seats_let_the_highest_go() -> None:
    """The others stay where they are."""
    books = seats(3, 0, "a", "b", "c")
    assert books.resize(1) == Moves([], ["c", "b"])
    assert (books.missing(), list(books.seated())) == (0, ["a"])


def test_one_that_gets_ready_too_late_leaves() -> None:
    """There is no seat for it any more."""
    books = seats(1, 1, "a", "b")
    books.booting = 1
    assert books.ready("c") == Moves([], ["c"])


def test_new_children_take_all_seats_at_once() -> None:
    """Old ones and old spares leave; what was booting is not expected any more."""
    books = seats(2, 1, "a", "b", "c")
    books.booting = 1
    moves = books.renew(["x", "y"], "reloaded")
    assert moves.sit == ["x", "y"]
    assert set(moves.leave) == {"a", "b", "c"}
    assert (books.booting, books.missing()) == (0, 1)
    assert repr(books) == "<Seats 2/2 seated, 0 spare, 0 booting, 0 due, 3 leaving>"
