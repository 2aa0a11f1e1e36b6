"""The call of all watchers with a moment, one after the other, even if one of them raises."""

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from inspect import iscoroutinefunction
from itertools import count
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from bridge.app_moments import hears

if TYPE_CHECKING:
    from bridge.moments import Moment, Watcher

log = logging.getLogger("bridge")

_ASYNC = "it is asynchronous: expected a plain function"


class Watchers:
    """Calls every watcher with each moment, in the order in which the watchers were given. Thread-safe.

    An exception of a watcher is logged with its traceback, and the other watchers are called all the same. Only the
    1st, 10th, 100th, 1000th … failure of a watcher is logged, so that a broken watcher does not flood the log.
    `SystemExit` and `KeyboardInterrupt` are raised to the caller, because a web server ends its process with them.
    """

    def __init__(self, watchers: Iterable["Watcher"] = ()) -> None:
        self._watchers = tuple(watchers)
        self._by_kind: dict[type, tuple[Watcher, ...]] = {}
        self._failures: dict[str, Iterator[int]] = {}

    def add(self, watcher: "Watcher") -> None:
        """Call a further watcher from now on, after the others."""
        self._watchers = (*self._watchers, watcher)
        self._by_kind = {}

    def hears(self, kind: type) -> bool:
        """Return whether a watcher receives moments of this type."""
        return bool(self._of(kind))

    def remove(self, watcher: "Watcher") -> None:
        """Call a watcher no more."""
        self._watchers = tuple(each for each in self._watchers if each != watcher)
        self._by_kind = {}

    def __bool__(self) -> bool:
        """True if there is a watcher."""
        return bool(self._watchers)

    def __call__(self, moment: "Moment") -> None:
        """Call every watcher that receives moments of this type."""
        for watcher in self._of(type(moment)):
            try:
                result = watcher(moment)
                if result is not None:
                    _check_result(result)
            except _watcher_errors() as error:  # a watcher is code of the site and can raise any exception
                self._log_failure(name_of(watcher), error)

    def attempt(self, watcher: Callable[..., object], *arguments: Any, **named: Any) -> None:
        """Call one watcher with these arguments, and log the exception that it raises."""
        try:
            _check_result(watcher(*arguments, **named))
        except _watcher_errors() as error:  # a watcher is code of the site and can raise any exception
            self._log_failure(name_of(watcher), error)

    def _of(self, kind: type) -> tuple["Watcher", ...]:
        by_kind = self._by_kind  # first: another thread may add a watcher meanwhile
        chosen = by_kind.get(kind)
        if chosen is None:
            chosen = by_kind[kind] = tuple(each for each in self._watchers if self._asks_for(each, kind))
        return chosen

    def _asks_for(self, watcher: "Watcher", kind: type) -> bool:
        try:
            return hears(watcher, kind)
        except _watcher_errors() as error:
            self._log_failure(name_of(watcher), error)
            return True

    def _log_failure(self, name: str, error: BaseException) -> None:
        failures = next(self._failures.setdefault(name, count(1)))
        if _is_power_of_ten(failures):
            log.error("watcher %s failed, %d times so far; nothing else is affected", name, failures, exc_info=error)


def check(found: object) -> "Watcher":
    """Return the object if it can be a watcher. Otherwise raise `TypeError`, which says what was expected."""
    if isinstance(found, type):
        raise TypeError("it is a class: expected an instance of it, or a function")
    if not callable(found):
        raise TypeError(f"it is a {type(found).__name__}: expected a callable that takes one moment")
    if iscoroutinefunction(found) or iscoroutinefunction(type(found).__call__):
        raise TypeError(_ASYNC)
    return found


def _watcher_errors() -> tuple[type[BaseException], ...]:
    """Return the exceptions of a watcher that are logged. asyncio is imported only after a watcher has raised, so that
    other processes do not load it."""
    from asyncio import CancelledError

    return Exception, CancelledError


def _check_result(result: object) -> None:
    """Raise `TypeError` if the result is a coroutine, because it would never be awaited."""
    if isinstance(result, CoroutineType):
        result.close()
        raise TypeError(_ASYNC)


def name_of(watcher: object) -> str:
    """Return the name of a watcher for messages: `module.function`, or the module and class of an object."""
    while isinstance(watcher, partial):
        watcher = watcher.func
    named = watcher if hasattr(watcher, "__qualname__") else type(watcher)
    return f"{named.__module__}.{named.__qualname__}"


def _is_power_of_ten(number: int) -> bool:
    return str(number).strip("0") == "1"
