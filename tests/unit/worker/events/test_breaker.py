"""A breaker: when it opens, probes and closes."""

from math import inf

import pytest

from bridge.attempt import Error
from bridge.outcome import Crashed, Failed, Halted, NotBegun, Outcome, Overloaded, Rejected, Succeeded, TimedOut
from worker.events.breaker import Breaker, Closed, Opened

AWAY = Error("ConnectionError", "no route to 10.0.0.7:443")
OTHER = Error("KeyError", "'total'")


def opened(after: int = 3) -> Breaker:
    """Return a breaker that has opened at 0 s."""
    breaker = Breaker(after)
    for number in range(after):
        breaker.note(f"e{number}", Failed(AWAY), 0.0)
    assert breaker.is_open
    return breaker


def test_it_opens_after_different_events_that_fail_alike() -> None:
    """Values in the message do not count."""
    breaker = Breaker(3)
    assert breaker.note("e1", Failed(Error("ConnectionError", "no route to 10.0.0.7:443")), 1.0) is None
    assert breaker.note("e2", Failed(Error("ConnectionError", "no route to 10.0.0.8:443")), 2.0) is None
    last = Error("ConnectionError", "no route to 10.0.0.9:443")
    assert breaker.note("e3", Failed(last), 3.0) == Opened(3, last)
    assert "3 events in a row failed alike (ConnectionError: no route to #" in breaker.why(3.0)


@pytest.mark.parametrize("outcome", [TimedOut(AWAY), Crashed(AWAY), Overloaded(AWAY)])
def test_whatever_fails_opens_it(outcome: Outcome) -> None:
    """A timeout, a crash and an overload are failures too."""
    assert isinstance(Breaker(1).note("e1", outcome, 0.0), Opened)


@pytest.mark.parametrize(
    "between", [[("e2", Succeeded())], [("e2", Failed(OTHER))], [("e1", Failed(AWAY)), ("e1", Failed(AWAY))]]
)
def test_it_stays_closed(between: list[tuple[str, Outcome]]) -> None:
    """A success in between, another error in between, or one event that fails again and again."""
    breaker = Breaker(3)
    for event, outcome in [("e1", Failed(AWAY)), *between, ("e9", Failed(AWAY))]:
        assert breaker.note(event, outcome, 0.0) is None
    assert breaker.wait(0.0) == 0.0


@pytest.mark.parametrize("outcome", [Rejected(AWAY), NotBegun(AWAY), Halted(AWAY), Overloaded(AWAY, snoozed=True)])
def test_the_events_own_ends_say_nothing(outcome: Outcome) -> None:
    """They neither open nor close it, and the next event is the probe at once."""
    assert Breaker(1).note("e1", outcome, 0.0) is None
    breaker = opened()
    breaker.begins("e9")
    assert breaker.note("e9", outcome, 1.5) is None
    assert (breaker.is_open, breaker.wait(1.5)) == (True, 0.0)


def test_single_events_probe_it_ever_more_rarely() -> None:
    """One at a time: 1 s after it has opened, then after 2, 4 … and at most 60 s."""
    breaker, now = opened(), 0.0
    for seconds in (1, 2, 4, 8, 16, 32, 60, 60):
        assert breaker.wait(now) == seconds
        now += seconds
        breaker.begins("probe")
        assert breaker.wait(now) == inf
        breaker.note("probe", Failed(AWAY), now)


def test_what_had_begun_before_it_opened_is_no_probe() -> None:
    """It does not put the first probe off, and may fail while that runs."""
    breaker = opened()
    breaker.note("e8", Failed(AWAY), 0.5)
    assert breaker.wait(0.5) == 0.5
    breaker.begins("probe")
    breaker.note("e9", Failed(AWAY), 1.5)
    assert breaker.wait(1.5) == inf


def test_a_probe_that_ends_without_an_outcome() -> None:
    """It has returned to its queue, or its connection broke: another event is the probe at once."""
    breaker = opened()
    breaker.begins("probe")
    assert not breaker.left("another")
    assert breaker.wait(1.5) == inf
    assert breaker.left("probe")
    assert breaker.wait(1.5) == 0.0


def test_a_person_asks_for_a_probe() -> None:
    """It is due at once. If it fails, the next one comes as late as without that."""
    breaker, now = opened(), 1.0
    for _ in range(6):
        breaker.begins("probe")
        breaker.note("probe", Failed(AWAY), now)
    breaker.probe_at_once(now + 1)
    assert breaker.wait(now + 1) == 0.0
    breaker.begins("probe")
    breaker.note("probe", Failed(AWAY), now + 1)
    assert breaker.wait(now + 1) == 60.0


def test_held_events_come_back_one_after_the_other() -> None:
    """From the next probe on, a hundred in a second, and none later than in a quarter of an hour."""
    breaker = opened()
    waits = [breaker.comes_back_in(0.0) for _ in range(100_000)]
    assert waits[0] == 1.0
    assert waits[100] == pytest.approx(2.0)
    assert waits[-1] == 900.0
    assert waits == sorted(waits)
    assert breaker.comes_back_in(500.0) == pytest.approx(400.01)


def test_held_events_come_back_within_ten_seconds_while_probes_are_rare() -> None:
    """A person may ask for a probe at any time, and the others follow soon after it."""
    breaker = opened()
    for _ in range(9):
        breaker.begins("probe")
        breaker.note("probe", Failed(AWAY), 0.0)
    assert (breaker.wait(0.0), breaker.comes_back_in(0.0)) == (60.0, 10.0)


def test_an_event_that_is_held_later_comes_back_after_the_next_probe() -> None:
    """A line of earlier events that has come back by then does not count."""
    breaker = opened()
    for _ in range(5):
        breaker.comes_back_in(0.0)
    assert breaker.comes_back_in(50.0) == 1.0


def test_a_success_closes_it() -> None:
    """It opens again only after as many failures as at first, and the first probe comes soon again."""
    breaker = opened()
    breaker.begins("probe")
    breaker.note("probe", Failed(AWAY), 1.0)
    assert breaker.note("next", Succeeded(), 3.0) == Closed(3.0)
    assert breaker.wait(3.0) == 0.0
    assert breaker.note("e1", Failed(AWAY), 4.0) is None
    breaker.note("e2", Failed(AWAY), 4.0)
    breaker.note("e3", Failed(AWAY), 4.0)
    assert breaker.wait(4.0) == 1.0


def test_another_worker_tells_that_it_has_opened() -> None:
    """It holds its events as if their failures had been counted here: single events probe, and what fails otherwise has
    begun before."""
    breaker, told = Breaker(3), Opened(3, AWAY, "web1:17")
    breaker.note("e1", Failed(OTHER), 0.0)
    assert breaker.open_as_told(told, 5.0) == told
    assert breaker.why(5.0) == (
        "its breaker: 3 events in a row failed alike in worker web1:17 (ConnectionError: no route to #), and 0 probes "
        "since; the next probe in 1 s"
    )
    assert breaker.note("e2", Failed(AWAY), 5.5) is None
    assert breaker.wait(5.5) == 0.5
    breaker.begins("probe")
    assert breaker.note("probe", Succeeded(), 6.0) == Closed(1.0)


def test_what_was_counted_here_stays() -> None:
    """Nothing that another worker tells later opens the breaker again, or closes it."""
    breaker = opened()
    assert breaker.open_as_told(Opened(9, OTHER, "web1:17"), 0.5) is None
    assert breaker.close_as_told("web1:17", 0.5) is None
    assert breaker.opened == Opened(3, AWAY)


@pytest.mark.parametrize(("probe", "closes"), [(None, Closed(4.0, "web2:5")), (Failed(AWAY), None)])
def test_another_worker_tells_that_it_has_closed(probe: Outcome | None, closes: Closed | None) -> None:
    """A breaker that has opened only as told closes too, unless a probe has failed here."""
    breaker = Breaker(3)
    assert breaker.close_as_told("web2:5", 0.0) is None
    breaker.open_as_told(Opened(3, AWAY, "web1:17"), 0.0)
    if probe is not None:
        breaker.begins("probe")
        breaker.note("probe", probe, 1.0)
    assert breaker.close_as_told("web2:5", 4.0) == closes
    assert breaker.is_open == (closes is None)


def test_another_worker_closes_while_a_probe_runs() -> None:
    """The probe decides, and its failure is free."""
    breaker = Breaker(3)
    breaker.open_as_told(Opened(3, AWAY, "web1:17"), 0.0)
    breaker.begins("probe")
    assert breaker.close_as_told("web2:5", 0.5) is None
    breaker.note("probe", Failed(AWAY), 1.0)
    assert breaker.is_open


def test_a_word_that_comes_late_costs_a_second() -> None:
    """The first event that succeeds closes the breaker again, and the failures of this worker are counted from 0."""
    breaker = opened()
    assert breaker.note("probe", Succeeded(), 1.0) == Closed(1.0)
    breaker.open_as_told(Opened(3, AWAY, "web1:17"), 1.1)
    assert breaker.wait(1.1) == 1.0
    assert breaker.note("e4", Succeeded(), 2.1) == Closed(1.0)
    assert [breaker.note(event, Failed(AWAY), 3.0) for event in ("e5", "e6")] == [None, None]
    assert breaker.note("e7", Failed(AWAY), 3.0) == Opened(3, AWAY)


def test_it_says_when_it_probes_next() -> None:
    """In whole seconds, so that a person knows how long to wait after a repair."""
    breaker = opened()
    assert breaker.why(0.1).endswith("and 0 probes since; the next probe in 1 s")
    breaker.begins("probe")
    assert breaker.why(1.0).endswith("the next probe runs")
    breaker.note("probe", Failed(AWAY), 1.0)
    assert breaker.why(1.0).endswith("and 1 probe since; the next probe in 2 s")
    assert breaker.why(3.0).endswith("and 1 probe since; the next probe is due")
