"""Which functions take which events, in which order."""

from functools import partial

import pytest

from app_adapter import Event
from app_adapter.listeners import Listeners


def bill(event: Event) -> None:
    """A listener."""


def ship(event: Event) -> None:
    """Another one."""


def names(listeners: Listeners, event_name: str) -> list[str]:
    """Return the names of those that take the event, in order."""
    return [listener.name.rpartition(":")[2] for listener in listeners.matching(event_name)]


def test_a_listener_takes_what_its_patterns_match() -> None:
    """A listener of several patterns takes what one of them takes, once."""
    listeners = Listeners()
    listeners.on("order.#", "*.paid")(bill)

    assert names(listeners, "order.paid") == ["bill"]
    assert names(listeners, "invoice.paid") == ["bill"]
    assert names(listeners, "invoice.sent") == []


def test_decorated_twice_it_is_one_listener() -> None:
    """The same function under two decorators is one listener with the patterns of both."""
    listeners = Listeners()
    listeners.on("order.paid")(bill)
    listeners.on("order.#")(bill)

    assert names(listeners, "order.paid") == ["bill"]
    assert names(listeners, "order.sent") == ["bill"]


def test_high_priority_comes_first_then_registration() -> None:
    """Order is by priority, and among equals by registration."""
    listeners = Listeners()
    for name, priority in [("a", 0), ("b", 5), ("c", 0), ("d", -1), ("e", 5)]:
        listeners.on("#", priority=priority, name=name)(partial(bill))

    assert names(listeners, "order.paid") == ["b", "e", "a", "c", "d"]


def test_a_listener_is_named_by_module_and_function() -> None:
    """Without a name of its own it is module:qualname, which outlives a release."""
    listeners = Listeners()
    listeners.on("#")(bill)

    assert listeners.matching("x")[0].name == f"{__name__}:bill"


def test_two_functions_of_one_name_are_refused() -> None:
    """The error says what to do."""
    listeners = Listeners()
    listeners.on("#", name="it")(bill)

    with pytest.raises(ValueError, match="'it': another function has this name; pass name="):
        listeners.on("#", name="it")(ship)


def test_the_same_function_cannot_have_two_priorities() -> None:
    """One listener has one place in the order."""
    listeners = Listeners()
    listeners.on("a")(bill)

    with pytest.raises(ValueError, match="the same priority"):
        listeners.on("b", priority=1)(bill)


def test_a_nameless_callable_needs_a_name() -> None:
    """A partial has no name that would outlive the process."""
    with pytest.raises(ValueError, match="pass name="):
        Listeners().on("#")(partial(bill))


def test_a_name_that_no_header_would_carry_whole_is_refused() -> None:
    """A cut name would not be recognised, and the listener run again."""
    with pytest.raises(ValueError, match="at most 200 characters"):
        Listeners().on("#", name="x" * 201)(bill)


@pytest.mark.parametrize("pattern", ["a..b", "", "a.#x", "sp ace", 5])
def test_a_bad_pattern_is_refused_at_the_decoration(pattern: str) -> None:
    """The error quotes the pattern before any function is known."""
    with pytest.raises(ValueError, match="pattern"):
        Listeners().on(pattern)


def test_no_pattern_is_refused() -> None:
    """A listener of nothing is a mistake."""
    with pytest.raises(ValueError, match="expected at least one"):
        Listeners().on()


def test_what_cannot_be_called_is_refused() -> None:
    """Only a callable can be a listener."""
    with pytest.raises(TypeError, match="expected a function"):
        Listeners().on("#")("bill")  # type: ignore[type-var]  # the mistake that is tried
