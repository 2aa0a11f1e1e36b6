"""The strategies of tenacity, called for one failure at a time."""

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
    wait_exponential,
    wait_exponential_jitter,
    wait_fixed,
    wait_incrementing,
    wait_random_exponential,
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
    """Return the policy's decision after this many attempts and seconds."""
    return policy.ask(Round(attempts, seconds, 0.0), FAILURE, **more)


def test_a_table_waits_longer_each_time_up_to_its_maximum() -> None:
    """The n-th wait of a table is initial × base^(n-1), at most max."""
    table = RetryTable(attempts=6, initial=timedelta(seconds=2), base=3, max=timedelta(seconds=60), jitter=0)
    policy = from_table(table, lambda: 1.0)
    assert [ask(policy, n) for n in range(1, 7)] == [*map(Wait, (2, 6, 18, 54, 60)), GiveUp(exhausted=True)]


def test_jitter_only_adds() -> None:
    """Jitter never makes a retry earlier than the wait of the table."""
    table = RetryTable(initial=timedelta(seconds=10), jitter=0.25)
    assert ask(from_table(table, lambda: 0.0), 1) == Wait(10.0)
    assert ask(from_table(table, lambda: 1.0), 1) == Wait(12.5)


def test_the_default_outlasts_a_night() -> None:
    """The default policy makes twenty attempts in twelve to sixteen hours."""
    for randomness in (lambda: 0.0, lambda: 1.0):
        policy = from_table(DEFAULT, randomness)
        answers = [ask(policy, n) for n in range(1, 21)]
        waits = [answer.seconds for answer in answers if isinstance(answer, Wait)]
        assert len(waits) == 19
        assert 12 * 3600 <= sum(waits) <= 16 * 3600


def test_waits_of_a_chain_come_in_order() -> None:
    """The attempt number selects the wait of a chain."""
    chain = wait_chain(wait_fixed(1), wait_fixed(5), wait_fixed(9))
    policy = from_object(Retrying(stop=stop_after_attempt(5), wait=chain))
    assert [ask(policy, n) for n in range(1, 6)] == [*map(Wait, (1, 5, 9, 9)), GiveUp(exhausted=True)]


def test_stop_after_delay_counts_from_the_beginning_of_the_round() -> None:
    """`stop_after_delay` counts the seconds of the round, not the seconds of a process."""
    policy = from_object(Retrying(stop=stop_after_delay(60), wait=wait_fixed(1)))
    assert ask(policy, 50, seconds=59.9) == Wait(1.0)
    assert ask(policy, 2, seconds=60.0) == GiveUp(exhausted=True)


def test_stop_before_delay_sees_the_wait_to_come() -> None:
    """The stop is asked again after the wait is known, so `stop_before_delay` knows it."""
    policy = from_object(Retrying(stop=stop_before_delay(60), wait=wait_fixed(30)))
    assert ask(policy, 1, seconds=29.0) == Wait(30.0)
    assert ask(policy, 1, seconds=31.0) == GiveUp(exhausted=True)


def test_predicates_see_our_exceptions_and_the_apps_type_by_name() -> None:
    """A policy's predicate can distinguish a timeout from a crash, and the app's error types by name."""
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
    """A strategy receives the attempt number, seconds, waits and outcome that a running tenacity would pass."""
    states: list[tuple[Any, ...]] = []

    def wait(state: RetryCallState) -> float:
        assert state.outcome is not None
        states.append((state.attempt_number, state.seconds_since_start, state.idle_for, state.outcome.exception()))
        return 1.0

    from_object(Retrying(wait=wait)).ask(Round(3, 42.5, 7.0), FAILURE)
    assert states == [(3, 42.5, 7.0, FAILURE)]


def test_the_apps_own_wait_replaces_the_policys_and_its_stop_holds() -> None:
    """The wait of `Retry(after=…)` replaces the policy's wait, but the policy's stop still ends the retries."""
    policy = from_object(Retrying(stop=stop_after_attempt(3), wait=wait_incrementing(100)))
    assert ask(policy, 2, own_wait=7.0) == Wait(7.0)
    assert ask(policy, 3, own_wait=7.0) == GiveUp(exhausted=True)


def test_no_wait_is_calculated_for_a_round_that_has_ended() -> None:
    """`stop` is asked before `wait`, which could take seconds to calculate for an attempt that is not allowed."""
    asked: list[int] = []

    def wait(state: RetryCallState) -> float:
        asked.append(state.attempt_number)
        return 1.0

    policy = from_object(Retrying(stop=stop_after_attempt(3), wait=wait))

    answers = [ask(policy, attempts) for attempts in (2, 3, 10**6)]

    assert answers == [Wait(1.0), GiveUp(exhausted=True), GiveUp(exhausted=True)]
    assert asked == [2]


@pytest.mark.parametrize(
    "wait",
    [
        wait_exponential(exp_base=3, max=60),
        wait_exponential_jitter(exp_base=7, max=60, jitter=0),
        wait_random_exponential(exp_base=3, min=60, max=60),
        lambda state: min(sum(2**number for number in range(state.attempt_number)), 60),
    ],
)
def test_a_policy_without_an_end_calculates_with_small_numbers(wait: Any) -> None:
    """An envelope with a million attempts, which a foreign publisher can write, does not make a policy compute for
    long. `stop` sees the true number."""
    seen: list[int] = []

    def stop(state: RetryCallState) -> bool:
        seen.append(state.attempt_number)
        return False

    assert ask(from_object(Retrying(stop=stop, wait=wait)), 10**6) == Wait(60.0)
    assert set(seen) == {10**6}


@pytest.mark.parametrize("answer", [-1, float("nan"), float("inf"), None, "1", True])
def test_a_wait_that_is_no_number_of_seconds_is_a_fault_of_the_policy(answer: Any) -> None:
    """An invalid wait raises `PolicyError`."""
    with pytest.raises(PolicyError, match="expected seconds"):
        ask(from_object(Retrying(wait=lambda state: answer)), 1)


def test_a_strategy_that_raises_is_a_fault_of_the_policy() -> None:
    """An exception of a strategy is raised as `PolicyError`, which names it."""
    with pytest.raises(PolicyError, match="ZeroDivisionError"):
        ask(from_object(Retrying(wait=lambda state: 1 / 0)), 1)


@pytest.mark.parametrize("thing", [None, 3, wait_fixed(1), stop_after_attempt])
def test_only_a_tenacity_policy_is_one(thing: object) -> None:
    """An object that is not a tenacity policy is refused."""
    with pytest.raises(ValueError, match="expected a tenacity policy"):
        from_object(thing)
