"""The settlement of each outcome."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tenacity import Retrying, stop_after_attempt, stop_after_delay, wait_fixed

from bridge.attempt import Error
from bridge.envelope import Envelope
from bridge.handling import Handling
from bridge.outcome import Crashed, Failed, Halted, NotBegun, Outcome, Overloaded, Rejected, Succeeded, TimedOut
from bridge.retry_policy import from_object
from bridge.retry_table import RetryTable
from bridge.settlement import Ack, DeadLetter, Drop, Halt, Policies, RetryAfter, Settlement, decide
from tests.unit.bridge.examples import NOW, envelope, event

ERROR = Error("ValueError", "no")
FALLBACK = from_object(Retrying(stop=stop_after_attempt(9), wait=wait_fixed(77)))


def policies(**strategies: Any) -> Policies:
    """Return a queue's policies: three attempts, ten seconds apart, with these strategies replaced."""
    usual: dict[str, Any] = {"stop": stop_after_attempt(3), "wait": wait_fixed(10), **strategies}
    return Policies(from_object(Retrying(**usual)), FALLBACK)


def settle(
    outcome: Outcome, of: Envelope | None = None, by: Policies | None = None, held_for: float | None = None
) -> Settlement:
    """Return the settlement of a replay that took a second and ended a minute after the round began."""
    now = NOW + timedelta(minutes=1)
    return decide(of or envelope(), outcome, by or policies(), 1.0, now, held_for)


def test_a_success_is_acked() -> None:
    """A success is acknowledged."""
    assert settle(Succeeded()) == Ack()


def test_a_reject_is_a_dead_letter_at_once() -> None:
    """A rejected event is a dead letter even if its policy has attempts left."""
    settlement = settle(Rejected(ERROR))
    assert isinstance(settlement, DeadLetter)
    assert (settlement.reason, settlement.error, settlement.envelope.spent) == ("rejected", ERROR, 1)


@pytest.mark.parametrize("outcome", [Failed(ERROR), TimedOut(ERROR), Crashed(ERROR)])
def test_a_failure_spends_an_attempt_and_waits_as_the_policy_says(outcome: Outcome) -> None:
    """A failure, a timeout and a crash each spend an attempt and wait as the policy decides."""
    settlement = settle(outcome)
    assert isinstance(settlement, RetryAfter)
    assert (settlement.envelope.spent, settlement.envelope.waited) == (1, 10.0)
    assert settlement.wait == timedelta(seconds=10)
    (attempt,) = settlement.envelope.attempts
    assert (attempt.outcome, attempt.seconds) == (type(outcome).__name__, 1.0)
    assert attempt.started == NOW + timedelta(seconds=59)


def test_the_last_attempt_is_a_dead_letter() -> None:
    """The policy's `stop` decides which attempt is the last."""
    settlement = settle(Failed(ERROR), envelope(spent=2))
    assert isinstance(settlement, DeadLetter)
    assert (settlement.reason, settlement.envelope.spent) == ("attempts used up", 3)


def test_an_error_that_the_policy_does_not_retry_is_a_dead_letter() -> None:
    """The reason of an error that is not retried differs from the reason of used-up attempts."""
    settlement = settle(Failed(ERROR), by=policies(retry=lambda state: False))
    assert isinstance(settlement, DeadLetter)
    assert settlement.reason == "not retried"


def test_stop_after_delay_goes_by_the_round() -> None:
    """`stop_after_delay` counts from the beginning of the round, so a redriven event has the whole time again."""
    by = policies(stop=stop_after_delay(30))
    late = settle(Failed(ERROR), by=by)
    again = settle(Failed(ERROR), envelope().next_round(NOW + timedelta(seconds=50)), by)
    assert isinstance(late, DeadLetter)
    assert isinstance(again, RetryAfter)


def test_the_apps_own_wait_counts() -> None:
    """The app's own wait is used, and the attempt is spent."""
    settlement = settle(Failed(ERROR, wait=3.0))
    assert isinstance(settlement, RetryAfter)
    assert (settlement.wait, settlement.envelope.spent) == (timedelta(seconds=3), 1)


def test_finished_listeners_add_up_and_a_crash_adds_none() -> None:
    """Listeners that finished in earlier attempts stay finished, even after a crash."""
    once = settle(Failed(ERROR, finished=("a",)))
    assert isinstance(once, RetryAfter)
    twice = settle(Failed(ERROR, finished=("b", "a")), once.envelope)
    assert isinstance(twice, RetryAfter)
    assert twice.envelope.finished == ("a", "b")
    crashed = settle(Crashed(ERROR), once.envelope)
    assert isinstance(crashed, RetryAfter)
    assert crashed.envelope.finished == ("a",)


def test_overload_waits_and_spends_no_attempt() -> None:
    """An overload spends no attempt, because the event did not cause it."""
    settlement = settle(Overloaded(ERROR, wait=5.0))
    assert isinstance(settlement, RetryAfter)
    assert (settlement.envelope.spent, settlement.envelope.attempts) == (0, ())
    assert settlement.wait == timedelta(seconds=5)
    assert settlement.envelope.overloaded_since == NOW + timedelta(minutes=1)


@pytest.mark.parametrize(("asked", "waited"), [(None, 30), (0.0, 1), (86_400.0, 3600)])
def test_the_wait_of_an_overload_is_bounded(asked: float | None, waited: int) -> None:
    """The wait of an overload is at least a second and at most an hour."""
    settlement = settle(Overloaded(ERROR, wait=asked))
    assert isinstance(settlement, RetryAfter)
    assert settlement.wait == timedelta(seconds=waited)


def test_four_days_of_overload_are_a_dead_letter() -> None:
    """An event that was overloaded for four days becomes a dead letter, so that a person looks at it."""
    still = settle(Overloaded(ERROR), envelope(overloaded_since=NOW - timedelta(days=3)))
    too_long = settle(Overloaded(ERROR), envelope(overloaded_since=NOW - timedelta(days=4)))
    assert isinstance(still, RetryAfter)
    assert isinstance(too_long, DeadLetter)
    assert too_long.reason == "overloaded too long"


@pytest.mark.parametrize(("asked", "waited"), [(None, 30.0), (0.0, 0.05), (0.25, 0.25), (86_400.0, 86_400.0)])
def test_a_snooze_waits_as_the_listener_asked_and_spends_no_attempt(asked: float | None, waited: float) -> None:
    """Listeners that have finished stay finished. Only a hot loop is prevented."""
    settlement = settle(Overloaded(ERROR, asked, snoozed=True, finished=("a",)), envelope(finished=("b",)))

    assert isinstance(settlement, RetryAfter)
    assert settlement.wait == timedelta(seconds=waited)
    assert settlement.envelope == envelope(finished=("b", "a"), deferred_again=1)


def test_no_number_of_snoozes_and_no_time_makes_a_dead_letter() -> None:
    """A backlog against a slow API may take longer than four days. A snooze ends a spell of overload."""
    long_ago = NOW - timedelta(days=90)
    waiting = envelope(deferred_again=100_000, round_began=long_ago, overloaded_since=long_ago)
    settlement = settle(Overloaded(ERROR, snoozed=True), waiting)

    assert isinstance(settlement, RetryAfter)
    assert settlement.envelope.overloaded_since is None


@pytest.mark.parametrize("outcome", [Failed(ERROR), TimedOut(ERROR), Crashed(ERROR)])
def test_a_failure_of_a_held_event_spends_no_attempt(outcome: Outcome) -> None:
    """Not the last one either, and the policy is not asked. The history has the attempt."""
    settlement = settle(outcome, envelope(spent=2, waited=20.0), policies(retry=lambda state: False), held_for=7.5)
    assert isinstance(settlement, RetryAfter)
    assert (settlement.envelope.spent, settlement.envelope.waited) == (2, 20.0)
    assert (settlement.wait, settlement.note) == (timedelta(seconds=7.5), None)
    assert [(attempt.number, attempt.error) for attempt in settlement.envelope.attempts] == [(3, ERROR)]


def test_a_held_event_keeps_the_listeners_that_have_finished_and_their_own_wait() -> None:
    """The longer of both waits counts."""
    settlement = settle(Failed(ERROR, wait=60.0, finished=("a",)), held_for=7.5)
    assert isinstance(settlement, RetryAfter)
    assert (settlement.wait, settlement.envelope.finished) == (timedelta(seconds=60), ("a",))


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [(Succeeded(), Ack), (Rejected(ERROR), DeadLetter), (NotBegun(ERROR), DeadLetter), (Halted(ERROR), Halt)],
)
def test_other_ends_of_a_held_event_are_as_always(outcome: Outcome, kind: type) -> None:
    """Only a failure comes back."""
    assert isinstance(settle(outcome, held_for=7.5), kind)


def test_a_halt_keeps_the_event_and_its_attempts() -> None:
    """No attempt is spent. Listeners that have finished stay finished."""
    assert settle(Halted(ERROR, ("a",))) == Halt(envelope(finished=("a",), deferred_again=1), ERROR)


ONE, FIVE = RetryTable(attempts=1), RetryTable(attempts=5, initial=timedelta(seconds=7))


@pytest.mark.parametrize(
    ("of_event", "of_listener", "wait"),
    [(None, None, 10), (None, FIVE, 7), (FIVE, None, 7), (FIVE, ONE, 7), (ONE, FIVE, None)],
)
def test_the_policy_of_the_event_goes_before_that_of_the_listener_and_of_the_queue(
    of_event: RetryTable | None, of_listener: RetryTable | None, wait: int | None
) -> None:
    """None is a dead letter: the only attempt is used up."""
    settlement = settle(Failed(ERROR, retry=of_listener), envelope(event=event(handling=Handling(retry=of_event))))
    if wait is None:
        assert isinstance(settlement, DeadLetter)
        assert settlement.reason == "attempts used up"
    else:
        assert isinstance(settlement, RetryAfter)
        assert settlement.wait == timedelta(seconds=wait)


def test_the_policy_of_the_event_counts_for_a_timeout_and_a_crash() -> None:
    """No listener answered, so only the event or the queue has a policy."""
    impatient = envelope(event=event(handling=Handling(retry=ONE)))
    assert isinstance(settle(TimedOut(ERROR), impatient), DeadLetter)
    assert isinstance(settle(Crashed(ERROR), impatient), DeadLetter)


@pytest.mark.parametrize("drops", [False, True])
def test_an_expired_event_is_a_dead_letter_or_dropped(drops: bool) -> None:
    """The queue decides which."""
    settlement = settle(NotBegun(ERROR), by=replace(policies(), drops_expired=drops))
    assert settlement == (Drop(ERROR) if drops else DeadLetter(envelope(), "expired", ERROR))


def test_another_outcome_ends_a_spell_of_overload() -> None:
    """After another outcome, the four days of an overload count from the beginning again."""
    settlement = settle(Failed(ERROR), envelope(overloaded_since=NOW))
    assert isinstance(settlement, RetryAfter)
    assert settlement.envelope.overloaded_since is None


def test_a_policy_that_raises_loses_nothing() -> None:
    """If the queue's policy raises, the default policy decides, and the note says why."""
    settlement = settle(Failed(ERROR), by=policies(wait=lambda state: 1 / 0))
    assert isinstance(settlement, RetryAfter)
    assert settlement.wait == timedelta(seconds=77)
    assert settlement.note is not None
    assert "ZeroDivisionError" in settlement.note


def test_a_wait_beyond_the_calendar_is_a_date_all_the_same() -> None:
    """A wait of millions of years is cut to the last year of the calendar."""
    settlement = settle(Failed(ERROR), by=policies(wait=lambda state: 1e15))
    assert isinstance(settlement, RetryAfter)
    assert (NOW + timedelta(minutes=1) + settlement.wait).year == 9999
