"""From an outcome to what is done about it."""

from datetime import timedelta
from typing import Any

import pytest
from tenacity import Retrying, stop_after_attempt, stop_after_delay, wait_fixed

from bridge.attempt import Error
from bridge.envelope import Envelope
from bridge.outcome import Crashed, Failed, Overloaded, Rejected, Settleable, Succeeded, TimedOut
from bridge.retry_policy import from_object
from bridge.settlement import Ack, DeadLetter, Policies, Retry, Settlement, decide
from tests.unit.bridge.examples import NOW, envelope

ERROR = Error("ValueError", "no")
SECOND = timedelta(seconds=1)
FALLBACK = from_object(Retrying(stop=stop_after_attempt(9), wait=wait_fixed(77)))


def policies(**strategies: Any) -> Policies:
    """Three attempts, ten seconds apart, unless given otherwise."""
    usual: dict[str, Any] = {"stop": stop_after_attempt(3), "wait": wait_fixed(10), **strategies}
    return Policies(from_object(Retrying(**usual)), FALLBACK)


def settle(outcome: Settleable, of: Envelope | None = None, by: Policies | None = None) -> Settlement:
    """The settlement of a replay that took a second and ended a minute after the round began."""
    now = NOW + timedelta(minutes=1)
    return decide(of or envelope(), outcome, by or policies(), now - SECOND, now)


def test_a_success_is_acked() -> None:
    """And nothing else is done."""
    assert settle(Succeeded()) == Ack()


def test_a_reject_is_a_dead_letter_at_once() -> None:
    """However many attempts the policy has left."""
    settlement = settle(Rejected(ERROR))
    assert isinstance(settlement, DeadLetter)
    assert (settlement.reason, settlement.error, settlement.envelope.spent) == ("rejected", ERROR, 1)


@pytest.mark.parametrize("outcome", [Failed(ERROR), TimedOut(ERROR), Crashed(ERROR)])
def test_a_failure_spends_an_attempt_and_waits_as_the_policy_says(outcome: Settleable) -> None:
    """Failed, out of time and crashed are alike here."""
    settlement = settle(outcome)
    assert isinstance(settlement, Retry)
    assert (settlement.envelope.spent, settlement.envelope.waited) == (1, 10.0)
    assert settlement.due == NOW + timedelta(minutes=1, seconds=10)
    assert [attempt.outcome for attempt in settlement.envelope.attempts] == [type(outcome).__name__]


def test_the_last_attempt_is_a_dead_letter() -> None:
    """The policy's stop decides which is the last."""
    settlement = settle(Failed(ERROR), envelope(spent=2))
    assert isinstance(settlement, DeadLetter)
    assert (settlement.reason, settlement.envelope.spent) == ("attempts used up", 3)


def test_an_error_that_the_policy_does_not_retry_is_a_dead_letter() -> None:
    """The reason tells it from a policy that is used up."""
    settlement = settle(Failed(ERROR), by=policies(retry=lambda state: False))
    assert isinstance(settlement, DeadLetter)
    assert settlement.reason == "not retried"


def test_stop_after_delay_goes_by_the_round() -> None:
    """A redriven event has the whole time again."""
    by = policies(stop=stop_after_delay(30))
    late = settle(Failed(ERROR), by=by)
    again = settle(Failed(ERROR), envelope().next_round(NOW + timedelta(seconds=50)), by)
    assert isinstance(late, DeadLetter)
    assert isinstance(again, Retry)


def test_the_apps_own_wait_counts() -> None:
    """One attempt is spent all the same."""
    settlement = settle(Failed(ERROR, wait=3.0))
    assert isinstance(settlement, Retry)
    assert (settlement.due, settlement.envelope.spent) == (NOW + timedelta(minutes=1, seconds=3), 1)


def test_finished_listeners_add_up_and_a_crash_forgets_its_attempts_progress() -> None:
    """What finished before stays finished."""
    once = settle(Failed(ERROR, finished=("a",)))
    assert isinstance(once, Retry)
    twice = settle(Failed(ERROR, finished=("b", "a")), once.envelope)
    assert isinstance(twice, Retry)
    assert twice.envelope.finished == ("a", "b")
    crashed = settle(Crashed(ERROR), once.envelope)
    assert isinstance(crashed, Retry)
    assert crashed.envelope.finished == ("a",)


def test_overload_waits_and_spends_no_attempt() -> None:
    """It is not the event's fault."""
    settlement = settle(Overloaded(ERROR, wait=5.0))
    assert isinstance(settlement, Retry)
    assert (settlement.envelope.spent, settlement.envelope.attempts) == (0, ())
    assert settlement.due == NOW + timedelta(minutes=1, seconds=5)
    assert settlement.envelope.overloaded_since == NOW + timedelta(minutes=1)


@pytest.mark.parametrize(("asked", "waited"), [(None, 30), (0.0, 1), (86_400.0, 3600)])
def test_the_wait_of_an_overload_is_bounded(asked: float | None, waited: int) -> None:
    """Neither a hot loop nor a day."""
    settlement = settle(Overloaded(ERROR, wait=asked))
    assert isinstance(settlement, Retry)
    assert settlement.due == NOW + timedelta(minutes=1, seconds=waited)


def test_four_days_of_overload_are_a_dead_letter() -> None:
    """Someone should look."""
    still = settle(Overloaded(ERROR), envelope(overloaded_since=NOW - timedelta(days=3)))
    too_long = settle(Overloaded(ERROR), envelope(overloaded_since=NOW - timedelta(days=4)))
    assert isinstance(still, Retry)
    assert isinstance(too_long, DeadLetter)
    assert too_long.reason == "overloaded too long"


def test_another_outcome_ends_a_spell_of_overload() -> None:
    """The four days begin anew."""
    settlement = settle(Failed(ERROR), envelope(overloaded_since=NOW))
    assert isinstance(settlement, Retry)
    assert settlement.envelope.overloaded_since is None


def test_a_policy_that_raises_loses_nothing() -> None:
    """The default policy answers, and the note says why."""
    settlement = settle(Failed(ERROR), by=policies(wait=lambda state: 1 / 0))
    assert isinstance(settlement, Retry)
    assert settlement.due == NOW + timedelta(minutes=1, seconds=77)
    assert settlement.note is not None
    assert "ZeroDivisionError" in settlement.note


def test_a_wait_beyond_the_calendar_is_a_date_all_the_same() -> None:
    """A policy that says a million years does not break the worker."""
    settlement = settle(Failed(ERROR), by=policies(wait=lambda state: 1e15))
    assert isinstance(settlement, Retry)
    assert settlement.due.year == 9999
