"""Calls the listeners of one replay, and concludes from their results: the verdict, and the errors to raise."""

import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from logging import Logger
from typing import Any, NamedTuple

from app_adapter.listener_api import AlreadyDone, Event, Halt, Reject, Retry, Snooze
from app_adapter.listeners import Listener
from bridge.attempt import Error
from bridge.call_words import NO_LISTENER
from bridge.reply import DELIVERED, Verdict
from bridge.retry_table import RetryTable


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The verdict, and the failures for the app's error handlers and reporters. `Retry`, `Snooze`, `Reject` and `Halt`
    are none."""

    verdict: Verdict
    failures: tuple[BaseException, ...] = ()


ALL_DELIVERED = Conclusion(DELIVERED)


def call_all(
    listeners: Iterable[Listener],
    event: Event,
    finished: Sequence[str],
    *,
    call: Callable[[Listener, Event], Any],
    now: Callable[[], datetime],
    log: Logger,
) -> Conclusion:
    """Call every listener that has not finished. Every exception of a listener is a failure, and the next one is
    called.

    After a KeyboardInterrupt, which ends a child, no further listener is called. A listener that rejected while another
    failed counts as not finished: it is called again with the other, so that its Reject takes effect when no listener
    fails any more.
    """
    matched = False
    succeeded: list[str] = []
    raised: list[_Raised] = []
    for listener in listeners:
        matched = matched or not listener.observer
        if listener.name in finished:
            continue
        try:
            call(listener, event)
        except AlreadyDone:
            succeeded.append(listener.name)
        except KeyboardInterrupt as interrupt:
            raised.append(_Raised(interrupt, listener.retry))
            break
        except BaseException as error:
            if not listener.observer:
                raised.append(_Raised(error, listener.retry))
            else:
                log.exception("observer %r failed; the event's outcome does not change", listener.name)
        else:
            succeeded.append(listener.name)
    if not matched and not raised:
        no_listener = Error(NO_LISTENER, f"no listener for {event.name!r} in this app")
        return Conclusion(Verdict("failed", no_listener, finished=tuple(succeeded)))
    if not raised:
        return ALL_DELIVERED
    return _conclude(raised, tuple(succeeded), now())


def first_answer(
    listeners: Iterable[Listener], event: Event, *, call: Callable[[Listener, Event], Any], log: Logger
) -> tuple[Conclusion, Any]:
    """Call the listeners of a call in their order, until one returns something other than None; return the conclusion
    and that result. All observers are called, and their results are not used.

    A listener that raises ends the call. `Retry`, `Snooze` and `Halt` are failures: nobody runs a call later.
    """
    matched, conclusion, result = False, None, None
    for listener in listeners:
        if not listener.observer and conclusion is not None:
            continue
        matched = matched or not listener.observer
        try:
            returned = call(listener, event)
        except KeyboardInterrupt as interrupt:
            return _ended_by(interrupt), None
        except BaseException as error:
            if listener.observer:
                log.exception("observer %r failed; the call's answer does not change", listener.name)
            else:
                conclusion = _ended_by(error)
        else:
            if not listener.observer and returned is not None:
                conclusion, result = ALL_DELIVERED, returned
    if not matched:
        return Conclusion(Verdict("failed", Error(NO_LISTENER, f"no listener for {event.name!r} in this app"))), None
    return conclusion or ALL_DELIVERED, result


def _ended_by(error: BaseException) -> Conclusion:
    """Return the conclusion of a call in which a listener raised."""
    if isinstance(error, Reject):
        return Conclusion(Verdict("reject", _quiet([error])))
    failures = () if isinstance(error, Halt | Retry | Snooze) else (error,)
    return Conclusion(Verdict("failed", error_of([error])), failures)


class _Raised(NamedTuple):
    """An exception that a listener raised, and the listener's own retry policy (None: it has none)."""

    error: BaseException
    retry: RetryTable | None


def _conclude(raised: Sequence[_Raised], finished: tuple[str, ...], now: datetime) -> Conclusion:
    """Return the conclusion: what is first in this function outweighs what follows. The listener of what was outweighed
    is called again."""
    failed = [each for each in raised if not isinstance(each.error, Halt | Retry | Snooze | Reject)]
    failures = tuple(each.error for each in failed)
    halts = [each.error for each in raised if isinstance(each.error, Halt)]
    retried = [each for each in raised if isinstance(each.error, Retry)]
    retries = [each.error for each in retried if isinstance(each.error, Retry)]
    snoozes = [each.error for each in raised if isinstance(each.error, Snooze)]
    if halts:
        return Conclusion(Verdict("halt", _quiet(halts), finished=finished), failures)
    if failures:
        verdict = Verdict("failed", error_of(failures), finished=finished, retry=_most_patient(failed))
        return Conclusion(verdict, failures)
    if retries:
        wait, policy = _longest(retries, now), _most_patient(retried)
        return Conclusion(Verdict("retry", _quiet(retries), wait, finished, retry=policy))
    if snoozes:
        return Conclusion(Verdict("overloaded", _quiet(snoozes), _longest(snoozes, now), finished))
    return Conclusion(Verdict("reject", _quiet([each.error for each in raised]), finished=finished))


def _most_patient(failed: Sequence[_Raised]) -> RetryTable | None:
    """Return the retry policy with the most attempts, and of equal ones that with the longest wait, so that no listener
    has fewer attempts than it asked for. Return None, for the policy of the queue, if a listener has none of its own.
    """
    tables = [each.retry for each in failed if each.retry is not None]
    if len(tables) < len(failed):
        return None
    return max(tables, key=lambda table: (table.attempts, table.max, table.initial))


def _longest(raised: Sequence[Retry | Snooze], now: datetime) -> float | None:
    return max((wait for wait in (each.seconds(now) for each in raised) if wait is not None), default=None)


def error_of(failures: Sequence[BaseException]) -> Error:
    """Return the error for the ledger: the first failure's type, and the message and traceback of every failure."""
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
    """Return the traceback from the listener's own frame on. The frames that called it do not explain the failure."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("app_adapter."):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))


def _type(error: BaseException) -> str:
    """Return the exception's type in the notation of policies and filters: `ValueError`, `shop.mail.SmtpDown`."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as unprintable:  # the exception's own __str__ raised
        return f"<its message cannot be shown: {type(unprintable).__name__}>"
