"""The registry of an app's listeners: the functions, their patterns and their order. `dispatch` calls them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from app_adapter.callable_checks import check_callable, name_of
from app_adapter.crowded_names import crowded_name
from app_adapter.given_retry import retry_of
from app_adapter.listener_api import Event
from app_adapter.registrations import AppRegistrations, Registrations, is_same_source
from bridge.attempt import Error
from bridge.errors import shown
from bridge.reply import MAX_FINISHED, MAX_LISTENER_NAME, size_of_name
from bridge.retry_table import RetryTable
from bridge.topics import BENCHMARK, check_pattern, matches

NAMES_REMEMBERED = 1000
"""Most event names whose listeners are cached. A site has some dozens; the limit is for invented names."""

FEW = 20
"""A number of listeners whose names always fit into `MAX_FINISHED`."""

Function = Callable[[Event], Any] | Callable[[Event, Any], Any]
F = TypeVar("F", bound=Function)
"""A function that takes an event; with `once`, an event and a session."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A function that is called with events. `name` identifies it across attempts and releases.

    An observer does not make an event handled, and its errors do not fail the event. `retry` is the retry policy of an
    event that this listener failed. `once` makes the session of a listener that runs once, and is called with it.
    """

    name: str
    function: Callable[..., Any]
    patterns: tuple[str, ...]
    priority: int
    observer: bool
    retry: RetryTable | None = None
    once: "Callable[[], Any] | None" = None

    @property
    def what(self) -> str:
        """The listener in words, for messages."""
        return f"the listener {self.name!r}"

    def takes(self, event_name: str) -> bool:
        """Return True if one of the patterns matches the event's name."""
        return any(matches(pattern, event_name) for pattern in self.patterns)


Group = Callable[[], Iterable[Listener]]
"""Returns the listeners of one event name, which may be others each time."""

NO_OP = Listener("bridge-bench", lambda event: None, (BENCHMARK,), priority=0, observer=False)
"""The listener that alone takes the events of `bridge-bench`, so that they call no listener of the app."""


class Listeners:
    """The listeners of all apps of an extension, each with its own name, in the order of their registration."""

    def __init__(self) -> None:
        self._registrations: Registrations[Listener] = Registrations()
        self._groups: dict[str, Group] = {}

    def of_new_app(self) -> "AppListeners":
        """Return the listeners of a new app."""
        return AppListeners(self._registrations.begin_app(), self._groups)

    def add_group(self, event_name: str, group: Group) -> None:
        """Add listeners of an event name that may be others for each event."""
        self._groups[event_name] = group
        self._registrations.changes += 1

    def on(
        self,
        *patterns: str,
        priority: int = 0,
        observer: bool = False,
        name: str | None = None,
        retry: Mapping[str, Any] | None = None,
        once: Callable[[], Any] | None = None,
    ) -> Callable[[F], F]:
        """Return a decorator that makes a function, plain or async, a listener of the events that match a pattern.

        Raise `ValueError` for an invalid pattern, for a retry table that cannot be used, and for a name that another
        function has. The decorator raises `TypeError` for a function that cannot be called with one event, and for a
        generator.
        """
        if not patterns:
            raise ValueError("on() without a pattern: expected at least one, such as @events.on('product.#')")
        checked = tuple(check_pattern(pattern) for pattern in patterns)
        if once is not None:
            check_callable(f"on(once={once!r:.100})", once)
        table = _retry(retry, observer)

        def register(function: F) -> F:
            arguments = ("an event",) if once is None else ("an event", "a session")
            check_callable(f"listener {name or name_of(function)!r}", function, *arguments)
            self._add(Listener(_name(function, name), function, checked, priority, observer, table, once))
            return function

        return register

    def _add(self, new: Listener) -> None:
        old = self._registrations.get(new.name)
        if old is None or self._is_another_apps(old, new):
            self._registrations.add(new.name, new)
            return
        if old.function != new.function:
            raise ValueError(f"listener {new.name!r}: another function has this name; pass name= to tell them apart")
        if (old.priority, old.observer, old.retry, old.once) != (new.priority, new.observer, new.retry, new.once):
            raise ValueError(
                f"listener {new.name!r}: expected the same priority, observer, retry and once each time it is "
                "registered"
            )
        # A function that is decorated twice is one listener, so an event that matches both patterns calls it once.
        patterns = tuple(dict.fromkeys((*new.patterns, *old.patterns)))
        self._registrations.change(new.name, replace(new, patterns=patterns))

    def _is_another_apps(self, old: Listener, new: Listener) -> bool:
        """Return True if a factory that makes another app has registered its listener again."""
        return (
            old.function != new.function
            and self._registrations.awaits_another(new.name)
            and is_same_source(old.function, new.function)
        )


class AppListeners:
    """The listeners of one app, in the order of their registration."""

    def __init__(self, registrations: AppRegistrations[Listener], groups: Mapping[str, Group]) -> None:
        self._registrations = registrations
        self._groups = groups
        self._matching: dict[str, tuple[Listener, ...]] = {}
        self._changes = -1

    def __iter__(self) -> Iterator[Listener]:
        return iter(self._registrations)

    def matching(self, event_name: str) -> Sequence[Listener]:
        """Return the listeners of an event name: highest priority first, then in order of registration."""
        if self._changes != self._registrations.changes:
            self._changes = self._registrations.changes
            self._matching = {}
        known = self._matching.get(event_name)
        if known is None:
            listeners = (NO_OP,) if event_name == BENCHMARK else self
            taken = [listener for listener in listeners if listener.takes(event_name)]
            group = self._groups.get(event_name)
            known = tuple(sorted([*taken, *(group() if group else ())], key=lambda listener: -listener.priority))
            if group is None and len(self._matching) < NAMES_REMEMBERED:
                self._matching[event_name] = known
        return known

    def check_numbers(self) -> None:
        """Raise `ValueError` for an event name with too many listeners, as far as the patterns show one."""
        sizes = [(listener.patterns, size_of_name(listener.name)) for listener in self]
        name = crowded_name(sizes, MAX_FINISHED) if sum(size for _, size in sizes) > MAX_FINISHED else None
        error = None if name is None else too_many(name, self.matching(name))
        if error is not None:
            raise ValueError(error.message)


def too_many(event_name: str, listeners: Sequence[Listener]) -> Error | None:
    """Return the error of an event that these listeners match if it cannot carry the names of all; else None.

    An event carries the names of the listeners that have finished to its next attempt. A listener whose name does not
    fit would run again.
    """
    if len(listeners) <= FEW or (size := sum(size_of_name(listener.name) for listener in listeners)) <= MAX_FINISHED:
        return None
    return Error(
        "too many listeners",
        f"the event {event_name!r} has {len(listeners)} listeners, whose names take {size} bytes: expected at most "
        f"{MAX_FINISHED}, because a retry must know which of them have finished. Call several functions from one "
        "listener, or pass shorter names",
    )


def _retry(retry: object, observer: bool) -> RetryTable | None:
    if retry is None:
        return None
    if observer:
        raise ValueError(f"on(observer=True, retry={shown(retry)}): expected no retry: an observer fails no event")
    return retry_of(retry, ValueError)


def _name(function: object, given: str | None) -> str:
    if not given and not hasattr(function, "__qualname__"):
        raise ValueError(f"listener {function!r:.100}: expected a function with a name; pass name=")
    name = given or name_of(function)
    if len(name) > MAX_LISTENER_NAME:
        raise ValueError(
            f"listener {name!r:.220}: expected a name of at most {MAX_LISTENER_NAME} characters; pass name="
        )
    return name
