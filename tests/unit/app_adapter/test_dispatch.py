"""The verdict that `dispatch` concludes from the listeners' results."""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from typing import Any

import pytest
from werkzeug.datastructures import Headers

from app_adapter.dispatch import Conclusion, call_all
from app_adapter.listener_api import Event, Halt, Reject, Retry, Snooze
from app_adapter.listeners import Listener
from bridge.retry_table import RetryTable

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
EVENT = Event("id", "order.paid", b"", "", NOW, "till", 1, "orders", Headers(), bytes)

Does = BaseException | None


class Unprintable(Exception):
    """An exception whose `__str__` raises."""

    def __str__(self) -> str:
        raise RuntimeError("no")


def concluded(
    *does: Does, observer: Does = None, finished: Sequence[str] = (), retry: Sequence[RetryTable | None] = ()
) -> tuple[Conclusion, list[str]]:
    """Call listeners named 0, 1 … that raise the given exceptions, and an observer. The first ones have a `retry`
    policy. Return the conclusion and the names of the called listeners."""
    called: list[str] = []

    def function(name: str, raises: Does) -> Callable[[Event], Any]:
        def listener(event: Event) -> None:
            called.append(name)
            if raises is not None:
                raise raises

        return listener

    listeners = [
        Listener(str(at), function(str(at), raises), ("#",), 0, False, policy)
        for at, (raises, policy) in enumerate(zip_longest(does, retry))
    ]
    listeners.append(Listener("watch", function("watch", observer), ("#",), 0, True))
    conclusion = call_all(
        listeners,
        EVENT,
        finished,
        call=lambda listener, event: listener.function(event),
        now=lambda: NOW,
        log=logging.getLogger("test"),
    )
    return conclusion, called


@pytest.mark.parametrize(
    ("does", "kind"),
    [
        ([None], "delivered"),
        ([None, None], "delivered"),
        ([ValueError()], "failed"),
        ([SystemExit(1)], "failed"),
        ([Retry()], "retry"),
        ([Reject()], "reject"),
        ([Snooze()], "overloaded"),
        ([Halt()], "halt"),
        ([Snooze(), Reject()], "overloaded"),
        ([Snooze(), Retry()], "retry"),
        ([Snooze(), ValueError()], "failed"),
        ([ValueError(), Halt(), Retry()], "halt"),
        ([None, ValueError()], "failed"),
        ([Retry(), ValueError()], "failed"),
        ([Reject(), ValueError()], "failed"),
        ([Reject(), Retry()], "retry"),
        ([None, Reject()], "reject"),
        ([], "failed"),
    ],
)
def test_the_verdict_of_several_listeners(does: list[Does], kind: str) -> None:
    """Halt outweighs a failure, which outweighs Retry, Snooze and Reject in this order. No listener is a failure."""
    assert concluded(*does)[0].verdict.kind == kind


def test_all_are_called_whatever_the_others_raise() -> None:
    """One listener's failure keeps no other from its work."""
    assert concluded(ValueError(), None, SystemExit(), None)[1] == ["0", "1", "2", "3", "watch"]


def test_finished_listeners_are_not_called_again() -> None:
    """The next attempt calls only the listeners that have not finished."""
    conclusion, called = concluded(None, None, None, finished=["0", "2", "watch"])

    assert called == ["1"]
    assert conclusion.verdict.kind == "delivered"


def test_if_all_have_finished_the_event_is_delivered() -> None:
    """This is not the same as a missing listener."""
    assert concluded(None, finished=["0"])[0].verdict.kind == "delivered"


def test_only_listeners_that_succeeded_have_finished() -> None:
    """A listener that rejects while another fails is called again, so that its Reject can take effect."""
    assert concluded(None, ValueError(), Reject(), Retry())[0].verdict.finished == ("0", "watch")


def test_an_observer_cannot_fail_the_event(caplog: pytest.LogCaptureFixture) -> None:
    """Its failure is logged, and does not change the verdict."""
    conclusion, _ = concluded(None, observer=SystemExit("gone"))

    assert conclusion.verdict.kind == "delivered"
    assert "observer 'watch' failed" in caplog.text


def test_an_observer_alone_is_no_match() -> None:
    """An event with observers only has no listener."""
    verdict = concluded()[0].verdict

    assert verdict.error is not None
    assert (verdict.error.type, verdict.error.message) == ("no listener", "no listener for 'order.paid' in this app")


def test_the_listeners_that_finished_beside_a_snooze_stay_finished() -> None:
    """The longest of several snoozes is used, and the reasons are told."""
    verdict = concluded(None, Snooze(0.25, "busy"), Snooze(0.5, "full"), Reject())[0].verdict

    assert (verdict.retry_after, verdict.finished) == (0.5, ("0", "watch"))
    assert verdict.error is not None
    assert (verdict.error.type, verdict.error.message) == ("Snooze", "busy; full")


ONE, FIVE, LONG = RetryTable(1), RetryTable(5), RetryTable(5, max=timedelta(days=1))


@pytest.mark.parametrize(
    ("does", "policies", "policy"),
    [
        ([ValueError()], [FIVE], FIVE),
        ([Retry()], [FIVE], FIVE),
        ([ValueError(), ValueError(), ValueError()], [ONE, LONG, FIVE], LONG),
        ([ValueError(), None], [ONE, FIVE], ONE),
        ([ValueError(), Retry()], [ONE, FIVE], ONE),
        ([ValueError(), ValueError()], [FIVE, None], None),
        ([Snooze()], [FIVE], None),
    ],
)
def test_the_most_patient_policy_of_the_listeners_that_failed_counts(
    does: list[Does], policies: list[RetryTable | None], policy: RetryTable | None
) -> None:
    """No listener has fewer attempts than it asked for. If one of them has no policy, that of the queue counts."""
    assert concluded(*does, retry=policies)[0].verdict.retry == policy


def test_a_halt_hides_no_failure_from_the_app() -> None:
    """The failure of another listener is raised for the app's error handlers. The verdict has the reason to halt."""
    failure = ValueError()
    conclusion, _ = concluded(failure, Halt("the ledger does not add up"), None)

    assert conclusion.failures == (failure,)
    assert conclusion.verdict.error is not None
    assert conclusion.verdict.error.message == "the ledger does not add up"
    assert conclusion.verdict.finished == ("2", "watch")


@pytest.mark.parametrize(("waits", "longest"), [([3, None, 8], 8.0), ([None, None], None)])
def test_the_longest_wait_counts(waits: list[float | None], longest: float | None) -> None:
    """The longest of several waits is used. Without any, the policy decides."""
    assert concluded(*(Retry(after) for after in waits))[0].verdict.retry_after == longest


def test_the_error_is_the_first_failures() -> None:
    """Its type is the first failure's. It has every message and traceback."""
    error = concluded(ValueError("one"), Retry(), KeyError("two"))[0].verdict.error

    assert error is not None
    assert error.type == "ValueError"
    assert error.message == "2 listeners failed: ValueError: one; KeyError: 'two'"
    assert error.traceback is not None
    assert error.traceback.count("Traceback (most recent call last)") == 2


def test_the_traceback_begins_in_the_listener() -> None:
    """The frames that called the listener are left out."""
    error = concluded(ValueError("one"))[0].verdict.error

    assert error is not None and error.traceback is not None
    assert "in call_all" not in error.traceback
    assert "raise raises" in error.traceback


def test_only_failures_are_raised_in_the_app() -> None:
    """Retry and Reject are answers, so no error reporter receives them."""
    failure = ValueError()

    assert concluded(Retry(), failure, Reject())[0].failures == (failure,)


def test_an_unprintable_exception_is_a_failure() -> None:
    """The message says that the exception's own message cannot be shown."""
    error = concluded(Unprintable())[0].verdict.error

    assert error is not None
    assert error.message == "<its message cannot be shown: RuntimeError>"
    assert error.type == f"{__name__}.Unprintable"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), GeneratorExit(), SystemExit(3)])
def test_an_exception_of_any_kind_is_a_failure(error: BaseException) -> None:
    """The ledger has the exception that the listener raised."""
    verdict = concluded(error)[0].verdict

    assert verdict.kind == "failed"
    assert verdict.error is not None
    assert verdict.error.type == type(error).__name__


def test_after_an_interrupt_no_listener_is_called() -> None:
    """The child has to end; the retry calls the other listeners."""
    assert concluded(KeyboardInterrupt(), None)[1] == ["0"]
    assert concluded(GeneratorExit(), None)[1] == ["0", "1", "watch"]


def test_an_event_whose_observer_was_interrupted_is_not_delivered() -> None:
    """The listeners after the observer were not called."""
    assert concluded(observer=KeyboardInterrupt())[0].verdict.kind == "failed"
