"""A caller of the ordeals: it calls the app's listeners, and notes in the history what it is told.

Run as ``python -m tests.faults.caller many NAME THREADS RATE`` for threads that call at a rate until SIGTERM, or as
``… caller once KEY STEP TIMEOUT`` for a single call, in the app's directory.
"""

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from app_adapter import CallError, DeferredEvents
from tests.faults.history import History
from tests.faults.pulse import feel
from tests.faults.sender import Sender

TIMEOUT = 5.0
"""Seconds of a call that is expected to be answered."""

SHORT_TIMEOUT = 0.5
"""Seconds of a call whose listener runs longer."""

ROUND = 400
"""Calls after which their steps repeat. Two of them cost a child, whose successor takes a second of CPU to boot."""

# By the call's number modulo `ROUND`: the step of the listener, and the timeout. All other calls are answered at once.
CALLS: Mapping[int, tuple[str, float]] = {
    3: ("reject", TIMEOUT),
    7: ("fail", TIMEOUT),
    11: ("die", TIMEOUT),
    17: ("sleep:600", SHORT_TIMEOUT),
    **dict.fromkeys((23, 37, 53, 71), ("sleep:0.05", TIMEOUT)),
}


class Caller:
    """Calls the listeners of one app."""

    def __init__(self, events: DeferredEvents, history: History) -> None:
        self._events = events
        self._history = history

    def call(self, key: str, step: str, timeout: float) -> None:
        """Call a listener that does this step, and note the answer, or the type of the error."""
        known = {"key": key, "pid": os.getpid()}
        self._history.note("ask", **known, timeout=timeout)
        try:
            answer = self._events.call(f"asked.{key}", {"do": step}, timeout=timeout)
        except CallError as error:
            self._history.note("told", **known, end=type(error).__name__, why=str(error))
        else:
            self._history.note("told", **known, end="answered", answer=answer)


def many(name: str, threads: str, rate: str) -> None:
    """Call from this many threads, at `rate` calls a second in total."""
    caller, history = _caller()

    def send(number: int) -> None:
        caller.call(f"{name}-{number}", *CALLS.get(number % ROUND, ("ok", TIMEOUT)))

    Sender(send, history, int(threads) / float(rate)).serve(int(threads))


def once(key: str, step: str, timeout: str) -> None:
    """Make a single call."""
    caller, history = _caller()
    feel(history)
    caller.call(key, step, float(timeout))


def _caller() -> tuple[Caller, History]:
    sys.path.insert(0, str(Path.cwd()))
    judged = importlib.import_module("judged")
    return Caller(judged.events, judged.history), judged.history


def main(*arguments: str) -> None:
    """Do what the command line asks for."""
    forms: Mapping[str, Callable[[str, str, str], None]] = {"many": many, "once": once}
    form, first, second, third = arguments
    forms[form](first, second, third)


if __name__ == "__main__":
    main(*sys.argv[1:])
