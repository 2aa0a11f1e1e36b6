"""What the listeners' results come to."""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from werkzeug.datastructures import Headers

from app_adapter.calling import Conclusion, call_all
from app_adapter.listeners import Listener
from app_adapter.received import Event, Reject, Retry

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
EVENT = Event("id", "order.paid", b"", "", NOW, "till", 1, "orders", Headers(), bytes)

Does = BaseException | None


class Unprintable(Exception):
    """An exception whose message cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no")


def concluded(*does: Does, observer: Does = None, finished: Sequence[str] = ()) -> tuple[Conclusion, list[str]]:
    """Call listeners named 0, 1 … that raise what is given, with an observer among them; return who was called."""
    called: list[str] = []

    def function(name: str, raises: Does) -> Callable[[Event], Any]:
        def listener(event: Event) -> None:
            called.append(name)
            if raises is not None:
                raise raises

        return listener

    listeners = [Listener(str(at), function(str(at), raises), ("#",), 0, False) for at, raises in enumerate(does)]
    listeners.append(Listener("watch", function("watch", observer), ("#",), 0, True))
    conclusion = call_all(
        listeners,
        EVENT,
        finished,
        call=lambda listener, event: listener.function(event),
        now=NOW,
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
        ([None, ValueError()], "failed"),
        ([Retry(), ValueError()], "failed"),
        ([Reject(), ValueError()], "failed"),
        ([Reject(), Retry()], "retry"),
        ([None, Reject()], "reject"),
        ([], "failed"),
    ],
)
def test_what_several_listeners_come_to(does: list[Does], kind: str) -> None:
    """Any failure fails; else any wish to wait is a retry; else any Reject rejects; nobody at all is a failure."""
    assert concluded(*does)[0].verdict.kind == kind


def test_all_are_called_whatever_the_others_raise() -> None:
    """One listener's failure keeps no other from its work."""
    assert concluded(ValueError(), None, SystemExit(), None)[1] == ["0", "1", "2", "3", "watch"]


def test_finished_listeners_are_not_called_again() -> None:
    """The next attempt calls only those that have not finished."""
    conclusion, called = concluded(None, None, None, finished=["0", "2", "watch"])

    assert called == ["1"]
    assert conclusion.verdict.kind == "delivered"


def test_if_all_have_finished_the_event_is_delivered() -> None:
    """Nothing is left to do, and that is no missing listener."""
    assert concluded(None, finished=["0"])[0].verdict.kind == "delivered"


def test_only_those_that_succeeded_have_finished() -> None:
    """A rejection is not finished business while another listener fails: it must be heard in the end."""
    assert concluded(None, ValueError(), Reject(), Retry())[0].verdict.finished == ("0", "watch")


def test_an_observer_cannot_fail_the_event(caplog: pytest.LogCaptureFixture) -> None:
    """Its failure is logged, and changes nothing."""
    conclusion, _ = concluded(None, observer=SystemExit("gone"))

    assert conclusion.verdict.kind == "delivered"
    assert "observer 'watch' failed" in caplog.text


def test_an_observer_alone_is_no_match() -> None:
    """An event that is only watched has no listener."""
    verdict = concluded()[0].verdict

    assert verdict.error is not None
    assert (verdict.error.type, verdict.error.message) == ("no listener", "no listener for 'order.paid' in this app")


@pytest.mark.parametrize(("waits", "longest"), [([3, None, 8], 8.0), ([None, None], None)])
def test_the_longest_wait_counts(waits: list[float | None], longest: float | None) -> None:
    """Of several wishes to wait the longest is kept; without any the policy decides."""
    assert concluded(*(Retry(after) for after in waits))[0].verdict.retry_after == longest


def test_the_error_is_the_first_failures() -> None:
    """Its type is the first failure's; every message and traceback is there."""
    error = concluded(ValueError("one"), Retry(), KeyError("two"))[0].verdict.error

    assert error is not None
    assert error.type == "ValueError"
    assert error.message == "2 listeners failed: ValueError: one; KeyError: 'two'"
    assert error.traceback is not None
    assert error.traceback.count("Traceback (most recent call last)") == 2


def test_the_traceback_begins_in_the_listener() -> None:
    """How the listener was called is left out."""
    error = concluded(ValueError("one"))[0].verdict.error

    assert error is not None and error.traceback is not None
    assert "in call_all" not in error.traceback
    assert "raise raises" in error.traceback


def test_only_failures_are_left_to_raise() -> None:
    """Retry and Reject are answers and no errors: no error reporter hears of them."""
    failure = ValueError()

    assert concluded(Retry(), failure, Reject())[0].failures == (failure,)


def test_an_exception_without_a_message_is_a_failure_like_any_other() -> None:
    """A message that cannot be had is said so."""
    error = concluded(Unprintable())[0].verdict.error

    assert error is not None
    assert error.message == "<its message cannot be shown: RuntimeError>"
    assert error.type == f"{__name__}.Unprintable"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), GeneratorExit(), SystemExit(3)])
def test_an_exception_of_any_kind_is_a_failure(error: BaseException) -> None:
    """The ledger has what the listener really raised."""
    verdict = concluded(error)[0].verdict

    assert verdict.kind == "failed"
    assert verdict.error is not None
    assert verdict.error.type == type(error).__name__


def test_behind_an_interrupt_nothing_is_begun() -> None:
    """The child is told to end; the retry calls the others."""
    assert concluded(KeyboardInterrupt(), None)[1] == ["0"]
    assert concluded(GeneratorExit(), None)[1] == ["0", "1", "watch"]


def test_an_interrupted_observer_was_not_delivered() -> None:
    """What came behind it was not called."""
    assert concluded(observer=KeyboardInterrupt())[0].verdict.kind == "failed"
