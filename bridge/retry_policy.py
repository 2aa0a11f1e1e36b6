"""The retry policy: the `stop`, `wait` and `retry` strategies of tenacity, called once for each failure.

Tenacity does not run the retries here: the broker keeps the event while it waits, so no process needs to stay alive.
For each failure a `RetryCallState` is rebuilt from the round, and the strategies are called with it: retry, stop, wait,
and stop again, because some strategies of `stop` look at the wait. Every strategy works, including a strategy that a
site wrote itself. `stop` is asked before `wait`, because a wait after more attempts than the policy allows can be a
number that takes seconds to calculate.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tenacity import BaseRetrying, Future, RetryCallState, Retrying, retry_always
from tenacity.stop import stop_after_attempt
from tenacity.wait import wait_base, wait_exponential

from bridge.attempt import Error
from bridge.errors import PolicyError
from bridge.retry_table import RetryTable

WAIT_KNOWS_AT_MOST = 1000
"""The highest attempt number that `wait` is called with, so that it calculates no power with a huge exponent. A wait
that grows has reached its maximum before."""


class ReplayError(Exception):
    """The exception that a policy's predicates receive for a replay that did not succeed. `error_type` is the name of
    the app's exception type, such as `ConnectionError`."""

    def __init__(self, error: Error) -> None:
        super().__init__(f"{error.type}: {error.message}")
        self.error_type = error.type


class ReplayFailed(ReplayError):
    """A listener raised, or another part of the app answered instead of the receiver."""


class ReplayTimedOut(ReplayError):
    """The app sent no reply within the deadline."""


class ReplayCrashed(ReplayError):
    """The process ended before the end of its reply."""


@dataclass(frozen=True, slots=True)
class Round:
    """The state of a round after a failure: attempts spent (including the failed one), seconds since the round began,
    and the sum of the waits in seconds."""

    attempts: int
    seconds: float
    waited: float


@dataclass(frozen=True, slots=True)
class Wait:
    """The decision to retry after `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The decision not to retry: `exhausted` is True if the policy's `stop` ends the retries, False if its `retry` does
    not match the error."""

    exhausted: bool


class RetryPolicy:
    """A tenacity policy that decides about one failure at a time."""

    def __init__(self, retrying: BaseRetrying) -> None:
        self._retrying = retrying

    def ask(self, round: Round, failure: ReplayError, *, own_wait: float | None = None) -> Wait | GiveUp:
        """Return the decision after this failure. `own_wait`, the wait in seconds that the app asked for, replaces the
        policy's `retry` and `wait`; the policy's `stop` still applies.

        Raise `PolicyError` if a strategy raises or returns an invalid wait.
        """
        state = _call_state(self._retrying, round, failure)
        try:
            if own_wait is None and not self._retrying.retry(state):
                return GiveUp(exhausted=False)
            if self._retrying.stop(state):
                return GiveUp(exhausted=True)
            wait = own_wait if own_wait is not None else _seconds(self._retrying.wait, state)
            state.upcoming_sleep = wait
            return GiveUp(exhausted=True) if self._retrying.stop(state) else Wait(wait)
        except PolicyError:
            raise
        except Exception as error:  # a policy that a site wrote itself can raise any exception
            raise PolicyError(f"the retry policy raised {type(error).__name__}: {error}") from error


def from_table(table: RetryTable, randomness: Callable[[], float]) -> RetryPolicy:
    """Return the policy of a table. `randomness` returns random numbers from 0 to 1 for the jitter."""
    wait = wait_exponential(
        multiplier=table.initial / timedelta(seconds=1), exp_base=table.base, max=table.max / timedelta(seconds=1)
    )
    jittered = _Jittered(wait, table.jitter, randomness)
    return RetryPolicy(Retrying(stop=stop_after_attempt(table.attempts), wait=jittered, retry=retry_always))


def from_object(policy: object) -> RetryPolicy:
    """Return the policy of an imported object. Raise `ValueError` if the object is not tenacity's `Retrying`."""
    if not isinstance(policy, BaseRetrying):
        raise ValueError(  # noqa: TRY004  # the object is the value of a setting, not an argument
            f"expected a tenacity policy such as Retrying(stop=…, wait=…), got {type(policy).__name__}"
        )
    return RetryPolicy(policy)


class _Jittered(wait_base):
    """A wait strategy that adds up to `jitter` (a share) to the wait. Jitter never shortens a wait."""

    def __init__(self, wait: wait_base, jitter: float, randomness: Callable[[], float]) -> None:
        self._wait = wait
        self._jitter = jitter
        self._randomness = randomness

    def __call__(self, retry_state: RetryCallState) -> float:
        return self._wait(retry_state) * (1 + self._jitter * self._randomness())


def _call_state(retrying: BaseRetrying, round: Round, failure: ReplayError) -> RetryCallState:
    state = RetryCallState(retrying, None, (), {})
    state.attempt_number = round.attempts
    state.start_time = 0.0  # the constructor sets it to the clock, but the round's seconds count from 0
    state.outcome_timestamp = round.seconds
    state.idle_for = round.waited
    state.outcome = Future(round.attempts)
    state.outcome.set_exception(failure)
    return state


def _seconds(strategy: Any, state: RetryCallState) -> float:
    attempts, state.attempt_number = state.attempt_number, min(state.attempt_number, WAIT_KNOWS_AT_MOST)
    try:
        wait = strategy(state)
    finally:
        state.attempt_number = attempts
    if isinstance(wait, bool) or not isinstance(wait, int | float) or not 0 <= wait < float("inf"):
        raise PolicyError(f"the retry policy's wait: expected seconds, 0 or more, got {wait!r}")
    return float(wait)
