"""The watcher that counts settlements."""

from datetime import timedelta

from bridge.moments import Begun, Settled, Taken
from bridge.outcome import Failed, NotBegun, Overloaded, Succeeded
from bridge.settlement import Ack, DeadLetter, Drop, RetryAfter
from bridge.watchers.counters import Counters
from tests.unit.bridge.examples import ERROR, envelope


def test_settlements_are_counted_by_kind() -> None:
    """Each kind of settlement has its own count, and other moments are not counted."""
    counters = Counters()
    counters(Taken(envelope(), "mail"))
    counters(Begun(envelope(), "mail"))
    for _ in range(3):
        counters(Settled(envelope(), "mail", Succeeded(), Ack(), 0.1))
    for _ in range(2):
        counters(Settled(envelope(), "mail", Failed(ERROR), RetryAfter(envelope(), timedelta(seconds=1), ERROR), 0.1))
    counters(Settled(envelope(), "mail", Failed(ERROR), DeadLetter(envelope(), "rejected", ERROR), 0.1))

    assert str(counters) == "3 delivered, 2 retries, 1 dead-lettered"

    snooze = RetryAfter(envelope(), timedelta(seconds=1), ERROR, snoozed=True)
    counters(Settled(envelope(), "mail", NotBegun(ERROR), Drop(ERROR), 0.0))
    counters(Settled(envelope(), "mail", Overloaded(ERROR, snoozed=True), snooze, 0.1))
    assert (counters.delivered, counters.retried, counters.dead) == (3, 2, 1)
    assert str(counters) == "3 delivered, 2 retries, 1 dead-lettered, 1 dropped, 1 snoozes"
