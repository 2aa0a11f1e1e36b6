"""The functions that cannot be registered as a listener or a warm-up function."""

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial, wraps
from typing import Any

import pytest

from app_adapter import DeferredEvents
from app_adapter.callable_checks import is_async


def generator(event: object) -> Iterator[None]:
    yield


async def async_generator(event: object) -> AsyncIterator[None]:
    yield


def with_a_session(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def wrapper(*arguments: Any) -> Any:
        return function(*arguments, session=None)

    return wrapper


def run(function: Callable[..., Iterator[None]]) -> Callable[..., None]:
    @wraps(function)
    def wrapper(event: object) -> None:
        list(function(event))

    return wrapper


def billed(event: object, session: object) -> None:
    """A listener whose decorator gives it the second argument."""


def keyword_only(*, event: object) -> None:
    """Cannot be called with a positional argument."""


class Shop:
    """Methods of each kind, and a call."""

    def ship(self, event: object) -> None:
        """A method."""

    def sweep(self) -> None:
        """A method without arguments."""

    @with_a_session
    def bill(self, event: object, session: object) -> None:
        """A decorated method."""

    @staticmethod
    def note(event: object) -> None:
        """A static method."""

    @classmethod
    def count(cls, event: object) -> None:
        """A class method."""

    def steps(self, event: object) -> Iterator[None]:
        yield

    def __call__(self, event: object) -> None:
        """Be a listener."""


class Stepping:
    """An object whose call is a generator."""

    def __call__(self, event: object) -> Iterator[None]:
        yield


REFUSED: list[tuple[Any, str]] = [
    (generator, "this one is a generator"),
    (async_generator, "this one is a generator"),
    (partial(generator), "this one is a generator"),
    (Shop().steps, "this one is a generator"),
    (Stepping(), "this one is a generator"),
    (staticmethod(generator), "this one is a generator"),
    (Shop.ship, "this one is a method"),
    (Shop.sweep, "this one is a method"),
    (Shop.bill, "this one is a method"),
    (Shop().sweep, r"has the parameters \(\)"),
    (lambda: None, r"has the parameters \(\): too many positional arguments"),
    (billed, r"has the parameters \(event: object, session: object\)"),
    (keyword_only, "has the parameters"),
    (partial(billed, 1, 2), "has the parameters"),
    (classmethod(billed), "got an object of the type classmethod"),
    (property(len), "got an object of the type property"),
    ("shop:ship", "got an object of the type str"),
    (None, "got an object of the type NoneType"),
]


@pytest.mark.parametrize(("listener", "why"), REFUSED)
def test_what_cannot_be_a_listener_is_refused_at_its_registration(listener: Any, why: str) -> None:
    """The message names the listener."""
    with pytest.raises(TypeError, match=f"^listener 'it': expected a function .*{why}"):
        DeferredEvents().on("order.#", name="it")(listener)


@pytest.mark.parametrize(
    "listener",
    [
        *(Shop().ship, Shop().bill, Shop.note, Shop.count, Shop(), staticmethod(Shop.note), lambda event: None),
        *(lambda *arguments: None, lambda event, extra=1: None, partial(billed, session=1), partial(billed, 1)),
        *(with_a_session(billed), run(generator), print, [].append, dict, str, max, Exception),
    ],
)
def test_what_takes_one_event_is_a_listener(listener: Any) -> None:
    """Built-in functions without a signature and decorated functions are listeners too."""
    events = DeferredEvents()

    events.on("order.#", name="it")(listener)

    assert [found.function for found in events.listeners.of_new_app()] == [listener]


def test_a_method_is_refused_in_the_body_of_its_class() -> None:
    """The message says what to do instead."""
    events = DeferredEvents()

    with pytest.raises(TypeError, match=r"Store\.ship'.* is a method.* register the method of an object"):

        class Store:
            @events.on("order.#")  # type: ignore[type-var]  # the mistake under test
            def ship(self, event: object) -> None:
                """A listener, but for its first parameter."""


@pytest.mark.parametrize(
    ("function", "why"), [(Shop.sweep, "a method"), (generator, "a generator"), (len, "parameter")]
)
def test_a_warm_up_function_is_checked_too(function: Any, why: str) -> None:
    """It is called without arguments."""
    with pytest.raises(TypeError, match=f"^warm-up function .*called with no argument; .*{why}"):
        DeferredEvents().on_warmup(function)


async def later(event: object) -> None:
    """An async listener."""


class Later:
    """An object whose call is asynchronous."""

    async def __call__(self, event: object) -> None:
        """Be an async listener."""


@pytest.mark.parametrize("function", [later, partial(later), Later(), Later().__call__, staticmethod(later)])
def test_an_async_function_is_recognised(function: Any) -> None:
    """So the warm-up can refuse it if the app cannot run it."""
    assert is_async(function)


@pytest.mark.parametrize("function", [generator, print, Later, Shop(), lambda event: later(None)])
def test_any_other_function_is_not_async(function: Any) -> None:
    """A class is none, because its call makes an object."""
    assert not is_async(function)
