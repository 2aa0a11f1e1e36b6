"""Calls the listeners of one replay, and concludes what came of it: a verdict, and what is left to raise in the app."""

import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from logging import Logger
from typing import Any

from app_adapter.listeners import Listener
from app_adapter.received import Event, Reject, Retry
from bridge.attempt import Error
from bridge.reply import Verdict


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The verdict, and the failures for the app's own error handlers and reporters (no `Retry` and no `Reject`)."""

    verdict: Verdict
    failures: tuple[BaseException, ...] = ()


def call_all(
    listeners: Iterable[Listener],
    event: Event,
    finished: Sequence[str],
    *,
    call: Callable[[Listener, Event], Any],
    now: datetime,
    log: Logger,
) -> Conclusion:
    """Call every listener that has not finished, whatever the others raise. Whatever it is, it is a failure; behind a
    KeyboardInterrupt, by which a child is told to end, no further listener is called.

    A listener that rejected while another failed has not finished: it is called again with the other one, so that
    its Reject is heard once nothing fails any more.
    """
    matched = False
    succeeded: list[str] = []
    raised: list[BaseException] = []
    for listener in listeners:
        matched = matched or not listener.observer
        if listener.name in finished:
            continue
        try:
            call(listener, event)
        except KeyboardInterrupt as interrupt:
            raised.append(interrupt)
            break
        except BaseException as error:
            if not listener.observer:
                raised.append(error)
            else:
                log.exception("observer %r failed; the event's fate stands", listener.name)
        else:
            succeeded.append(listener.name)
    if not matched and not raised:
        nobody = Error("no listener", f"no listener for {event.name!r} in this app")
        return Conclusion(Verdict("failed", nobody, finished=tuple(succeeded)))
    if not raised:
        return Conclusion(Verdict("delivered"))
    return _conclude(raised, tuple(succeeded), now)


def _conclude(raised: Sequence[BaseException], finished: tuple[str, ...], now: datetime) -> Conclusion:
    """Any failure outweighs any wish to wait, and both outweigh a Reject, which is then said again."""
    failures = tuple(error for error in raised if not isinstance(error, Retry | Reject))
    retries = [error for error in raised if isinstance(error, Retry)]
    if failures:
        return Conclusion(Verdict("failed", error_of(failures), finished=finished), failures)
    if retries:
        waits = [wait for wait in (retry.seconds(now) for retry in retries) if wait is not None]
        return Conclusion(Verdict("retry", _quiet(retries), max(waits, default=None), finished))
    return Conclusion(Verdict("reject", _quiet(raised), finished=finished))


def error_of(failures: Sequence[BaseException]) -> Error:
    """Return what the ledger shall know of the failures: the first one's type, every message and traceback."""
    first = failures[0]
    if len(failures) == 1:
        message = _message(first)
    else:
        parts = "; ".join(f"{_type(failure)}: {_message(failure)}" for failure in failures)
        message = f"{len(failures)} listeners failed: {parts}"
    return Error(_type(first), message, "\n".join(_traceback(failure) for failure in failures))


def _quiet(raised: Sequence[BaseException]) -> Error:
    return Error(type(raised[0]).__name__, "; ".join(_message(error) for error in raised))


def _traceback(error: BaseException) -> str:
    """Return the traceback from the listener's own frame on: how we called it says nothing about the failure."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("app_adapter."):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))


def _type(error: BaseException) -> str:
    """Return the exception's type as a policy or a filter names it: `ValueError`, `shop.mail.SmtpDown`."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as unprintable:  # an exception whose own __str__ raises is a failure like any other
        return f"<its message cannot be shown: {type(unprintable).__name__}>"
