"""Listeners that are methods of a class. `on` marks the methods, and `DeferredEvents.register` registers the class.

Each replay has an instance of its own, which the methods that it calls share, so no state is left for the next event.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from flask import g

from app_adapter.callable_checks import check_callable, is_async
from app_adapter.listener_api import Event
from bridge.topics import check_pattern

M = TypeVar("M", bound=Callable[..., Any])

_MARKS = "__bridge_on__"
_INSTANCES = "_bridge_listeners"


@dataclass(frozen=True, slots=True)
class Mark:
    """The arguments of one `@on`."""

    patterns: tuple[str, ...]
    priority: int
    observer: bool
    name: str | None
    retry: Mapping[str, Any] | None
    once: Callable[[], Any] | None

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of `DeferredEvents.on` besides the patterns and the name."""
        return {"priority": self.priority, "observer": self.observer, "retry": self.retry, "once": self.once}

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments of the method, in words."""
        return ("an event",) if self.once is None else ("an event", "a session")


@dataclass(frozen=True, slots=True)
class Method:
    """A method as a listener: a call makes an instance of its class for the present replay, or takes the one that
    another method of the class has made."""

    owner: type
    attribute: str

    def __call__(self, event: Event, *session: Any) -> Any:
        """Call the method, with the session of a listener that runs once; return its result."""
        return getattr(_instance(self.owner), self.attribute)(event, *session)


@dataclass(frozen=True, slots=True)
class AsyncMethod:
    """As `Method`, for an `async def`."""

    owner: type
    attribute: str

    async def __call__(self, event: Event, *session: Any) -> Any:
        """Call the method, and await its result."""
        return await getattr(_instance(self.owner), self.attribute)(event, *session)


def on(
    *patterns: str,
    priority: int = 0,
    observer: bool = False,
    name: str | None = None,
    retry: Mapping[str, Any] | None = None,
    once: Callable[[], Any] | None = None,
) -> Callable[[M], M]:
    """Mark a method as a listener of the events that match one of the patterns. The arguments are those of
    `DeferredEvents.on`; the name is `module:Class.method` by default. The class is registered with
    `@events.listener` or `events.register`. With `once`, the method is called with the event and the session.

    Raise `ValueError` for an invalid pattern. The decorator raises `TypeError` for a function that is no method.
    """
    if not patterns:
        raise ValueError("on() without a pattern: expected at least one, such as @on('invoice.#')")
    mark = Mark(tuple(check_pattern(pattern) for pattern in patterns), priority, observer, name, retry, once)

    def add(method: M) -> M:
        path = getattr(method, "__qualname__", "").rpartition(".")[0]
        if not path or path.endswith("<locals>"):
            raise TypeError(
                f"@on({patterns[0]!r}) decorates {method!r:.100}: expected a method in the body of a class, which "
                "@events.listener registers. A function is decorated with @events.on"
            )
        setattr(method, _MARKS, (mark, *getattr(method, _MARKS, ())))
        return method

    return add


def methods_of(owner: object) -> Iterator[tuple[str, Method | AsyncMethod, Mark]]:
    """Yield each mark of a class, with the name and the listener of its method.

    An inherited method counts, and so does the override of a marked method. Raise `TypeError` for anything but a class
    that can be made without arguments and whose marked methods can be called with their arguments, and for a class
    without a marked method.
    """
    if not isinstance(owner, type):
        raise TypeError(
            f"{owner!r:.100}: expected a class with methods that @on decorates. A function is decorated with @events.on"
        )
    where = f"{owner.__module__}:{owner.__qualname__}"
    try:
        inspect.signature(owner).bind()
    except TypeError as error:
        raise TypeError(
            f"listener class {where!r}: expected a class that can be made without arguments: {error}"
        ) from None
    except ValueError:  # some classes of extensions have no signature
        pass
    marked = [(attribute, marks) for attribute in dir(owner) if (marks := _marks(owner, attribute))]
    if not marked:
        raise TypeError(f"listener class {where!r}: expected a method that @on('some.pattern') decorates, got none")
    for attribute, marks in marked:
        function = inspect.getattr_static(owner, attribute)
        called = _without_self(owner, function)
        listener = (AsyncMethod if is_async(called) else Method)(owner, attribute)
        for mark in marks:
            check_callable(f"listener '{where}.{attribute}'", called, *mark.arguments)
            yield mark.name or f"{where}.{attribute}", listener, mark


def _marks(owner: type, attribute: str) -> tuple[Mark, ...]:
    """Return the marks of the nearest definition that has some. A subclass that sets the attribute to None has none."""
    if inspect.getattr_static(owner, attribute) is None:
        return ()
    for base in owner.__mro__:
        defined = vars(base).get(attribute)
        for marked in (defined, getattr(defined, "__func__", None)):  # @on above @staticmethod, or below it
            marks: tuple[Mark, ...] = getattr(marked, _MARKS, ())
            if marks:
                return marks
    return ()


def _without_self(owner: type, function: Any) -> Callable[..., Any]:
    """Return what is called without an instance."""
    if isinstance(function, staticmethod):
        return function.__func__
    return partial(function.__func__ if isinstance(function, classmethod) else function, owner)


def _instance(owner: type) -> Any:
    """Return the instance of a class in the present replay."""
    instances: dict[type, Any] = g.setdefault(_INSTANCES, {})
    if owner not in instances:
        instances[owner] = owner()
    return instances[owner]
