"""The retry policy: tenacity's own `stop`, `wait` and `retry`, asked and not run. The waiting is the broker's.

A `RetryCallState` is rebuilt from the round, and the strategies are called on it in tenacity's order: retry, wait,
stop. So every strategy of tenacity works, one's own included, and none needs a process that stays alive.
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


class ReplayError(Exception):
    """What a policy's predicates see of a replay that did not succeed. `error_type` is the app's exception type by
    name, such as `ConnectionError`."""

    def __init__(self, error: Error) -> None:
        super().__init__(f"{error.type}: {error.message}")
        self.error_type = error.type


class ReplayFailed(ReplayError):
    """A listener raised, or something answered instead of the receiver."""


class ReplayTimedOut(ReplayError):
    """No reply within the deadline."""


class ReplayCrashed(ReplayError):
    """The process ended in mid-reply."""


@dataclass(frozen=True, slots=True)
class Round:
    """The round so far, as a policy is asked about it: attempts spent (this one included), seconds since the event
    was first due, seconds of waits asked for."""

    attempts: int
    seconds: float
    waited: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Try again in so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not try again. `exhausted`: the policy's `stop` said so; else its `retry` does not take this error."""

    exhausted: bool


class RetryPolicy:
    """A tenacity policy that answers about one round at a time."""

    def __init__(self, retrying: BaseRetrying) -> None:
        self._retrying = retrying

    def ask(self, round: Round, failure: ReplayError, *, own_wait: float | None = None) -> Wait | GiveUp:
        """Return what to do after this failure. `own_wait` (the app's own wish, in seconds) takes the place of the
        policy's `wait`; its `stop` holds all the same.

        Raise `PolicyError` where a strategy raises or answers no number.
        """
        state = _call_state(self._retrying, round, failure)
        try:
            if own_wait is None and not self._retrying.retry(state):
                return GiveUp(exhausted=False)
            wait = own_wait if own_wait is not None else _seconds(self._retrying.wait, state)
            state.upcoming_sleep = wait
            return GiveUp(exhausted=True) if self._retrying.stop(state) else Wait(wait)
        except PolicyError:
            raise
        except Exception as error:  # a site's own policy may raise anything
            raise PolicyError(f"the retry policy raised {type(error).__name__}: {error}") from error


def from_table(table: RetryTable, randomness: Callable[[], float]) -> RetryPolicy:
    """Return the policy that a table describes. `randomness` gives numbers from 0 to 1 for the jitter."""
    wait = wait_exponential(
        multiplier=table.initial / timedelta(seconds=1), exp_base=table.base, max=table.max / timedelta(seconds=1)
    )
    jittered = _Jittered(wait, table.jitter, randomness)
    return RetryPolicy(Retrying(stop=stop_after_attempt(table.attempts), wait=jittered, retry=retry_always))


def from_object(policy: object) -> RetryPolicy:
    """Return the policy that an imported object is; raise `ValueError` where it is not tenacity's `Retrying`."""
    if not isinstance(policy, BaseRetrying):
        raise ValueError(  # noqa: TRY004  # the value of a setting, not an argument of a caller
            f"expected a tenacity policy such as Retrying(stop=…, wait=…), got {type(policy).__name__}"
        )
    return RetryPolicy(policy)


class _Jittered(wait_base):
    """Never earlier than the wait itself: jitter only adds."""

    def __init__(self, wait: wait_base, jitter: float, randomness: Callable[[], float]) -> None:
        self._wait = wait
        self._jitter = jitter
        self._randomness = randomness

    def __call__(self, retry_state: RetryCallState) -> float:
        return self._wait(retry_state) * (1 + self._jitter * self._randomness())


def _call_state(retrying: BaseRetrying, round: Round, failure: ReplayError) -> RetryCallState:
    state = RetryCallState(retrying, None, (), {})
    state.attempt_number = round.attempts
    state.start_time = 0.0  # the constructor reads the clock; ours is the round's
    state.outcome_timestamp = round.seconds
    state.idle_for = round.waited
    state.outcome = Future(round.attempts)
    state.outcome.set_exception(failure)
    return state


def _seconds(strategy: Any, state: RetryCallState) -> float:
    wait = strategy(state)
    if isinstance(wait, bool) or not isinstance(wait, int | float) or not 0 <= wait < float("inf"):
        raise PolicyError(f"the retry policy's wait answered {wait!r}, expected seconds, 0 or more")
    return float(wait)
