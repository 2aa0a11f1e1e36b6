"""The registry of listeners: the listeners of an event, and their order."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from app_adapter import Event
from app_adapter.listeners import FEW, Listeners
from bridge.reply import MAX_FINISHED, MAX_LISTENER_NAME, size_of_name
from bridge.retry_table import RetryTable
from bridge.topics import BENCHMARK


def bill(event: Event) -> None:
    """A listener."""


def ship(event: Event) -> None:
    """Another listener."""


def names(listeners: Listeners, event_name: str) -> list[str]:
    """Return the names of the event's listeners, in order."""
    return [listener.name.rpartition(":")[2] for listener in listeners.of_new_app().matching(event_name)]


def test_a_listener_takes_events_that_match_a_pattern() -> None:
    """A listener takes an event once, even if two of its patterns match."""
    listeners = Listeners()
    listeners.on("order.#", "*.paid")(bill)

    assert names(listeners, "order.paid") == ["bill"]
    assert names(listeners, "invoice.paid") == ["bill"]
    assert names(listeners, "invoice.sent") == []


def test_an_event_of_bridge_bench_calls_no_listener_of_the_app() -> None:
    """Not even a listener of all events: a benchmark of thousands of events has no effect."""
    listeners = Listeners()
    listeners.on("#", observer=True)(bill)
    listeners.on("bridge.#")(ship)

    assert names(listeners, BENCHMARK) == ["bridge-bench"]
    assert names(listeners, "bridge.dead_letter.rejected") == ["bill", "ship"]


def test_a_function_that_is_decorated_twice_is_one_listener() -> None:
    """The listener has the patterns of both decorators."""
    listeners = Listeners()
    listeners.on("order.paid")(bill)
    listeners.on("order.#")(bill)

    assert names(listeners, "order.paid") == ["bill"]
    assert names(listeners, "order.sent") == ["bill"]


def test_high_priority_comes_first_then_registration() -> None:
    """Listeners of equal priority are called in the order of registration."""
    listeners = Listeners()
    for name, priority in [("a", 0), ("b", 5), ("c", 0), ("d", -1), ("e", 5)]:
        listeners.on("#", priority=priority, name=name)(partial(bill))

    assert names(listeners, "order.paid") == ["b", "e", "a", "c", "d"]


def test_a_listener_is_named_by_module_and_function() -> None:
    """The default name is module:qualname, which is the same in the next release."""
    listeners = Listeners()
    listeners.on("#")(bill)

    assert listeners.of_new_app().matching("x")[0].name == f"{__name__}:bill"


def test_two_functions_of_one_name_are_refused() -> None:
    """The error names the solution."""
    listeners = Listeners()
    listeners.on("#", name="it")(bill)

    with pytest.raises(ValueError, match="'it': another function has this name; pass name="):
        listeners.on("#", name="it")(ship)


def test_the_same_function_cannot_have_two_priorities() -> None:
    """A listener has one place in the order."""
    listeners = Listeners()
    listeners.on("a")(bill)

    with pytest.raises(ValueError, match="the same priority"):
        listeners.on("b", priority=1)(bill)


def test_a_listener_has_a_retry_policy_of_its_own() -> None:
    """It is a table as in the settings, and the same each time that the listener is registered."""
    listeners = Listeners()
    listeners.on("order.#", retry={"attempts": 3, "initial": "5s"})(bill)

    (listener,) = listeners.of_new_app().matching("order.paid")
    assert listener.retry == RetryTable(attempts=3, initial=timedelta(seconds=5))
    with pytest.raises(ValueError, match="the same priority, observer, retry and once each time"):
        listeners.on("mail.#")(bill)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"retry": {"attempts": 0}}, r"retry\['attempts'\]=0: expected a whole number, 1 or more"),
        ({"retry": "5 times"}, "retry='5 times': expected a table"),
        ({"retry": {}, "observer": True}, r"on\(observer=True, retry={}\): expected no retry"),
    ],
)
def test_a_retry_policy_that_cannot_be_used_is_refused(arguments: dict[str, Any], why: str) -> None:
    """The error comes when the listener is registered."""
    with pytest.raises(ValueError, match=why):
        Listeners().on("order.#", **arguments)


def test_a_nameless_callable_needs_a_name() -> None:
    """A partial has no name that is the same in the next process."""
    with pytest.raises(ValueError, match="pass name="):
        Listeners().on("#")(partial(bill))


def test_a_name_that_is_too_long_for_the_header_is_refused() -> None:
    """A shortened name would not be recognised, and the listener would run again."""
    with pytest.raises(ValueError, match="at most 200 characters"):
        Listeners().on("#", name="x" * 201)(bill)


@pytest.mark.parametrize("pattern", ["a..b", "", "a.#x", "sp ace", 5])
def test_a_bad_pattern_is_refused_at_the_decoration(pattern: str) -> None:
    """The error quotes the pattern."""
    with pytest.raises(ValueError, match="pattern"):
        Listeners().on(pattern)


def test_no_pattern_is_refused() -> None:
    """A listener without patterns is a mistake."""
    with pytest.raises(ValueError, match="expected at least one"):
        Listeners().on()


def test_an_object_that_cannot_be_called_is_refused() -> None:
    """Only a callable can be a listener."""
    with pytest.raises(TypeError, match="expected a function"):
        Listeners().on("#")("bill")  # type: ignore[type-var]  # the mistake under test


LONG = "\N{PILE OF POO}" * 180
"""The beginning of a name that takes 20 times the room of an ordinary one."""


def crowd(number: int, name: str) -> Listeners:
    """Return this number of listeners of one event, with two patterns."""
    listeners = Listeners()
    for index in range(number):
        listeners.on("#.paid" if index % 2 else "order.*", f"other.{index}", name=f"{name} {index:04}")(partial(bill))
    return listeners


@pytest.mark.parametrize(("number", "name"), [(100, "shop.listeners:"), (20, LONG), (1000, "listener")])
def test_as_many_listeners_as_an_event_remembers_are_accepted(number: int, name: str) -> None:
    """Any number may listen to other events."""
    listeners = crowd(number, name)
    for index in range(1000):
        listeners.on("invoice.paid.late", name=f"further {index}")(partial(bill))

    listeners.of_new_app().check_numbers()


@pytest.mark.parametrize(("number", "name"), [(40, LONG), (2500, "listener")])
def test_more_listeners_than_an_event_remembers_are_refused(number: int, name: str) -> None:
    """The message has the event and the numbers. The names decide, because an event carries them."""
    why = rf"the event 'order\.paid' has {number} listeners, whose names take \d+ bytes: expected at most 24576"

    with pytest.raises(ValueError, match=why):
        crowd(number, name).of_new_app().check_numbers()


def test_few_listeners_always_fit() -> None:
    """A few listeners fit into the limit, even with the names that take the most bytes."""
    assert FEW * max(size_of_name(character * MAX_LISTENER_NAME) for character in '\x00"ä\U0001f4a9') <= MAX_FINISHED
