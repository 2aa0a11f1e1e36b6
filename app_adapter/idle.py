"""The functions that an app wants called in a child that has had no request for some time (`@events.on_idle`), and the
clock that says which of them is due. The loops that serve requests ask it between two requests.
"""

import contextvars
import math
import os
import socket
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from flask import Flask

from app_adapter.call_to_end import call_to_end
from app_adapter.callable_checks import name_of
from app_adapter.descendants import end_if_copy
from app_adapter.plain_sockets import readable
from app_adapter.standard_streams import say

LONGEST_WAIT = 24 * 3600.0
"""The longest wait for a hook, in seconds. Then its child waits again: poll() can wait for 24 days at most."""


@dataclass(frozen=True, slots=True)
class IdleHook:
    """A function to be called without arguments after this many seconds without a request."""

    function: Callable[[], object]
    after: float


def seconds_of(after: object) -> float:
    """Return the `after` of `on_idle` in seconds. Raise `TypeError` or `ValueError` unless it is a positive time."""
    match after:
        case timedelta():
            seconds = after.total_seconds()
        case int() | float() if not isinstance(after, bool):
            seconds = float(after)
        case _:
            raise TypeError(
                f"on_idle(after={after!r:.100}): expected seconds or a timedelta, such as @events.on_idle(after=60)"
            )
    if not math.isfinite(seconds) or seconds <= 0:
        raise ValueError(f"on_idle(after={after!r:.100}): expected a positive time")
    return seconds


class IdleHooks:
    """The idle hooks of one child. Each is due once in each time without a request, and again after the next one.

    `now` is a monotonic clock in seconds.
    """

    def __init__(self, app: Flask, hooks: Iterable[IdleHook], now: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._hooks = sorted(hooks, key=lambda hook: hook.after)
        self._now = now
        self._since = now()
        self._called = 0

    def note_request(self) -> None:
        """Note that a request has ended just now."""
        self._since = self._now()
        self._called = 0

    def due_in(self) -> float | None:
        """Return the seconds until the next hook is due, but at most `LONGEST_WAIT`; 0 if one is due, None if none is
        before the next request."""
        if self._called == len(self._hooks):
            return None
        return min(max(self._since + self._hooks[self._called].after - self._now(), 0.0), LONGEST_WAIT)

    def wait(self, sock: socket.socket) -> None:
        """Call the hooks that come due until the socket can be read or has ended. Return at once if none is due before
        the next request. A request waits for one hook at most."""
        while (seconds := self.due_in()) is not None and not readable(seconds, sock):
            if self.due_in() == 0:
                self.call_next()

    def call_next(self) -> None:
        """Call the next hook in an app context of its own. An exception is logged and not raised. A copy of the process
        that the hook has forked ends here."""
        hook = self._hooks[self._called]
        self._called += 1
        owner = os.getpid()
        try:
            contextvars.copy_context().run(self._call, hook.function)
        except BaseException as error:  # SystemExit too: a hook cannot end a child
            end_if_copy(owner, error)
            self._log(hook.function)
        end_if_copy(owner)

    def _call(self, function: Callable[[], object]) -> None:
        with self._app.app_context():
            call_to_end(f"the idle function {name_of(function)!r}", function, run=self._app.ensure_sync)

    def _log(self, function: Callable[[], object]) -> None:
        """Log the current exception. If the app's logger fails too, write the traceback to standard error."""
        failure = traceback.format_exc()
        try:
            self._app.logger.exception("the idle function %r failed; nothing else is affected", name_of(function))
        except Exception:
            with suppress(Exception):
                say(failure)


def idle_hooks(app: Flask, hooks: Iterable[IdleHook]) -> IdleHooks | None:
    """Return the idle hooks of a child that begins to serve now; None if the app has none."""
    found = tuple(hooks)
    return IdleHooks(app, found) if found else None
