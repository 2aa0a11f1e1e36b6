"""The listeners of an app: which functions take which events, in which order. Calling them is not done here."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from app_adapter.received import Event
from bridge.reply import MAX_LISTENER_NAME
from bridge.topics import check_pattern, matches

NAMES_REMEMBERED = 1000
"""Event names whose listeners are remembered. A site has some dozens; names that are made up must not fill memory."""

Function = Callable[[Event], Any]
F = TypeVar("F", bound=Function)


@dataclass(frozen=True, slots=True)
class Listener:
    """A function that takes events. `name` stands for it across attempts and releases. An observer is no reason to
    call an event handled, and cannot fail it."""

    name: str
    function: Function
    patterns: tuple[str, ...]
    priority: int
    observer: bool

    def takes(self, event_name: str) -> bool:
        """Tell whether one of its patterns matches the name."""
        return any(matches(pattern, event_name) for pattern in self.patterns)


class Listeners:
    """The listeners, one of each name, in the order of their registration."""

    def __init__(self) -> None:
        self._by_name: dict[str, Listener] = {}
        self._matching: dict[str, tuple[Listener, ...]] = {}

    def __iter__(self) -> Iterator[Listener]:
        return iter(self._by_name.values())

    def on(
        self, *patterns: str, priority: int = 0, observer: bool = False, name: str | None = None
    ) -> Callable[[F], F]:
        """Return a decorator that makes a function, plain or async, a listener of the events that a pattern takes.

        Raise `ValueError` for a pattern that is none, and where another function has the name already.
        """
        if not patterns:
            raise ValueError("on() without a pattern: expected at least one, such as @events.on('product.#')")
        checked = tuple(check_pattern(pattern) for pattern in patterns)

        def register(function: F) -> F:
            self._add(Listener(_name(function, name), function, checked, priority, observer))
            return function

        return register

    def matching(self, event_name: str) -> Sequence[Listener]:
        """Return those that take an event of this name: highest priority first, then in order of registration."""
        known = self._matching.get(event_name)
        if known is None:
            taken = [listener for listener in self._by_name.values() if listener.takes(event_name)]
            known = tuple(sorted(taken, key=lambda listener: -listener.priority))
            if len(self._matching) < NAMES_REMEMBERED:
                self._matching[event_name] = known
        return known

    def _add(self, new: Listener) -> None:
        self._matching.clear()
        old = self._by_name.get(new.name)
        if old is None:
            self._by_name[new.name] = new
            return
        if old.function is not new.function:
            raise ValueError(f"listener {new.name!r}: another function has this name; pass name= to tell them apart")
        if (old.priority, old.observer) != (new.priority, new.observer):
            raise ValueError(
                f"listener {new.name!r}: expected the same priority and observer each time it is registered"
            )
        # Decorated twice it is still one listener, so that an event which both patterns take calls it once.
        patterns = tuple(dict.fromkeys((*new.patterns, *old.patterns)))
        self._by_name[new.name] = Listener(new.name, new.function, patterns, new.priority, new.observer)


def _name(function: object, given: str | None) -> str:
    if not callable(function):
        raise TypeError(f"listener {function!r:.100}: expected a function")
    name = given or f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', '')}"
    if name.endswith(":"):
        raise ValueError(f"listener {function!r:.100}: it has no name of its own; pass name=")
    if len(name) > MAX_LISTENER_NAME:
        raise ValueError(
            f"listener {name!r:.220}: expected a name of at most {MAX_LISTENER_NAME} characters; pass name="
        )
    return name
