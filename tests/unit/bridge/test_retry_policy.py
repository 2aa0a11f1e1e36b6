"""Tenacity's strategies, asked about one round at a time."""

from datetime import timedelta
from typing import Any

import pytest
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    retry_if_exception_type,
    retry_unless_exception_type,
    stop_after_attempt,
    stop_after_delay,
    stop_before_delay,
    wait_chain,
    wait_fixed,
    wait_incrementing,
)

from bridge.attempt import Error
from bridge.errors import PolicyError
from bridge.retry_policy import (
    GiveUp,
    ReplayCrashed,
    ReplayFailed,
    ReplayTimedOut,
    RetryPolicy,
    Round,
    Wait,
    from_object,
    from_table,
)
from bridge.retry_table import DEFAULT, RetryTable

FAILURE = ReplayFailed(Error("ConnectionError", "refused"))


def ask(policy: RetryPolicy, attempts: int, seconds: float = 0.0, **more: Any) -> Wait | GiveUp:
    """What the policy answers after so many attempts and seconds."""
    return policy.ask(Round(attempts, seconds, 0.0), FAILURE, **more)


def test_a_table_waits_longer_each_time_up_to_its_maximum() -> None:
    """initial × base^(n-1), at most max."""
    table = RetryTable(attempts=6, initial=timedelta(seconds=2), base=3, max=timedelta(seconds=60), jitter=0)
    policy = from_table(table, lambda: 1.0)
    assert [ask(policy, n) for n in range(1, 7)] == [*map(Wait, (2, 6, 18, 54, 60)), GiveUp(exhausted=True)]


def test_jitter_only_adds() -> None:
    """A retry is never earlier than the table says."""
    table = RetryTable(initial=timedelta(seconds=10), jitter=0.25)
    assert ask(from_table(table, lambda: 0.0), 1) == Wait(10.0)
    assert ask(from_table(table, lambda: 1.0), 1) == Wait(12.5)


def test_the_default_outlasts_a_night() -> None:
    """Twenty attempts, twelve to sixteen hours."""
    for randomness in (lambda: 0.0, lambda: 1.0):
        policy = from_table(DEFAULT, randomness)
        answers = [ask(policy, n) for n in range(1, 21)]
        waits = [answer.seconds for answer in answers if isinstance(answer, Wait)]
        assert len(waits) == 19
        assert 12 * 3600 <= sum(waits) <= 16 * 3600


def test_waits_of_a_chain_come_in_order() -> None:
    """The attempt number alone says where in the chain we are."""
    chain = wait_chain(wait_fixed(1), wait_fixed(5), wait_fixed(9))
    policy = from_object(Retrying(stop=stop_after_attempt(5), wait=chain))
    assert [ask(policy, n) for n in range(1, 6)] == [*map(Wait, (1, 5, 9, 9)), GiveUp(exhausted=True)]


def test_stop_after_delay_counts_from_the_beginning_of_the_round() -> None:
    """Not from when a process started."""
    policy = from_object(Retrying(stop=stop_after_delay(60), wait=wait_fixed(1)))
    assert ask(policy, 50, seconds=59.9) == Wait(1.0)
    assert ask(policy, 2, seconds=60.0) == GiveUp(exhausted=True)


def test_stop_before_delay_sees_the_wait_to_come() -> None:
    """Wait is asked before stop, as tenacity does."""
    policy = from_object(Retrying(stop=stop_before_delay(60), wait=wait_fixed(30)))
    assert ask(policy, 1, seconds=29.0) == Wait(30.0)
    assert ask(policy, 1, seconds=31.0) == GiveUp(exhausted=True)


def test_predicates_see_our_exceptions_and_the_apps_type_by_name() -> None:
    """A policy can tell a time-out from a crash, and one app error from another."""
    by_type = from_object(Retrying(retry=retry_if_exception_type(ReplayTimedOut), wait=wait_fixed(1)))
    round = Round(1, 0.0, 0.0)
    assert by_type.ask(round, ReplayTimedOut(Error("timeout", ""))) == Wait(1.0)
    assert by_type.ask(round, ReplayCrashed(Error("crash", ""))) == GiveUp(exhausted=False)
    by_name = from_object(
        Retrying(
            retry=retry_if_exception(lambda error: getattr(error, "error_type", "") == "ConnectionError"),
            wait=wait_fixed(1),
        )
    )
    assert by_name.ask(round, FAILURE) == Wait(1.0)
    assert by_name.ask(round, ReplayFailed(Error("ValueError", ""))) == GiveUp(exhausted=False)
    unless = from_object(Retrying(retry=retry_unless_exception_type(ReplayFailed)))
    assert unless.ask(round, FAILURE) == GiveUp(exhausted=False)


def test_strategies_see_the_whole_round() -> None:
    """Attempt number, seconds, waits asked for, outcome: as in a running tenacity."""
    seen: list[tuple[Any, ...]] = []

    def wait(state: RetryCallState) -> float:
        assert state.outcome is not None
        seen.append((state.attempt_number, state.seconds_since_start, state.idle_for, state.outcome.exception()))
        return 1.0

    from_object(Retrying(wait=wait)).ask(Round(3, 42.5, 7.0), FAILURE)
    assert seen == [(3, 42.5, 7.0, FAILURE)]


def test_the_apps_own_wait_replaces_the_policys_and_its_stop_holds() -> None:
    """`Retry(after=…)` says when, not how often."""
    policy = from_object(Retrying(stop=stop_after_attempt(3), wait=wait_incrementing(100)))
    assert ask(policy, 2, own_wait=7.0) == Wait(7.0)
    assert ask(policy, 3, own_wait=7.0) == GiveUp(exhausted=True)


@pytest.mark.parametrize("answer", [-1, float("nan"), float("inf"), None, "1", True])
def test_a_wait_that_is_no_number_of_seconds_is_a_fault_of_the_policy(answer: Any) -> None:
    """The message quotes what it answered."""
    with pytest.raises(PolicyError, match="expected seconds"):
        ask(from_object(Retrying(wait=lambda state: answer)), 1)


def test_a_strategy_that_raises_is_a_fault_of_the_policy() -> None:
    """And no stray exception."""
    with pytest.raises(PolicyError, match="ZeroDivisionError"):
        ask(from_object(Retrying(wait=lambda state: 1 / 0)), 1)


@pytest.mark.parametrize("thing", [None, 3, wait_fixed(1), stop_after_attempt])
def test_only_a_tenacity_policy_is_one(thing: object) -> None:
    """The message says what was found."""
    with pytest.raises(ValueError, match="expected a tenacity policy"):
        from_object(thing)
