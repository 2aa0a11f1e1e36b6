"""Listeners that are methods of a class: their instance, their names, and what is refused when they are registered."""

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from flask import Flask

from app_adapter import DeferredEvents, Event, Reject, on
from app_adapter.booting import BootError, warm_up
from tests.unit.app_adapter.replays import Shop

calls: list[tuple[str, int]] = []


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    calls.clear()


class Invoices:
    """An aggregate that counts the calls of its instance."""

    def __init__(self) -> None:
        self.count = 0

    @on("order.paid", priority=5)
    def paid(self, event: Event) -> None:
        """Count, and fail at the first attempt if the event says so."""
        self._note("paid")
        if event.payload.get("fails") and event.attempt == 1:
            raise ValueError("broken")

    @on("order.paid")
    @on("order.sent")
    def follow(self, event: Event) -> None:
        """Count."""
        self._note("follow")

    def _note(self, what: str) -> None:
        self.count += 1
        calls.append((what, self.count))


class Reminders(Invoices):
    """A class that overrides a marked method, and leaves out another."""

    follow = None  # type: ignore[assignment]

    def paid(self, event: Event) -> None:
        """Note the override."""
        calls.append(("reminded", 0))


def shop_with(*classes: type) -> Shop:
    """Return an app with these classes."""
    shop = Shop()
    for each in classes:
        shop.events.register(each)
    return shop


def names(shop: Shop) -> list[str]:
    """Return the names of the app's listeners."""
    return [listener.name.partition(":")[2] for listener in shop.state.listeners]


def test_the_methods_of_an_event_share_an_instance() -> None:
    """By priority; the next event has another instance, so its count begins anew."""
    shop = shop_with(Invoices)

    assert shop.replay("order.paid").verdict.kind == "delivered"
    assert shop.replay("order.sent").verdict.kind == "delivered"

    assert calls == [("paid", 1), ("follow", 2), ("follow", 1)]


def test_each_method_has_a_stable_name() -> None:
    """A retry does not call a method that has finished."""
    shop = shop_with(Invoices)
    data = b'{"fails": true}'
    verdict = shop.replay(data=data).verdict
    calls.clear()

    assert verdict.finished == (f"{__name__}:Invoices.follow",)
    assert shop.replay(data=data, finished=verdict.finished, BRIDGE_ATTEMPT="2").verdict.kind == "delivered"
    assert calls == [("paid", 1)]


def test_a_decorated_class_is_registered_and_returned() -> None:
    """`@events.listener` is `events.register`. A second registration changes nothing."""
    shop = Shop()
    assert shop.events.listener(Invoices) is Invoices
    shop.events.register(Invoices)
    assert sorted(names(shop)) == ["Invoices.follow", "Invoices.paid"]


def test_a_subclass_has_listeners_of_its_own() -> None:
    """An override listens as the method that it overrides, and None does not."""
    shop = shop_with(Invoices, Reminders)

    shop.replay("order.paid")

    assert sorted(names(shop)) == ["Invoices.follow", "Invoices.paid", "Reminders.paid"]
    assert calls == [("paid", 1), ("reminded", 0), ("follow", 2)]


def test_a_method_may_have_its_own_retry_policy() -> None:
    """As a function that `@events.on` decorates."""

    class Patient:
        @on("order.paid", retry={"attempts": 7})
        def paid(self, event: Event) -> None: ...

    (listener,) = shop_with(Patient).state.listeners
    assert listener.retry is not None
    assert listener.retry.attempts == 7


def test_static_and_class_methods_listen_too() -> None:
    """In both orders of the decorators."""

    class Plain:
        @staticmethod
        @on("order.paid")
        def one(event: Event) -> None:
            calls.append((event.name, 1))

        @on("order.paid")
        @classmethod
        def two(cls, event: Event) -> None:
            calls.append((cls.__name__, 2))

    assert shop_with(Plain).replay().verdict.kind == "delivered"
    assert calls == [("order.paid", 1), ("Plain", 2)]


def test_an_async_method_is_awaited_or_stops_the_boot(monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs where Flask can run it; elsewhere the child cannot boot."""

    class Later:
        @on("order.paid")
        async def paid(self, event: Event) -> None:
            raise Reject("later")

    shop = shop_with(Later)
    monkeypatch.setattr(shop.app, "async_to_sync", lambda function: partial(_run, function))
    assert shop.replay().verdict.kind == "reject"
    monkeypatch.undo()
    with pytest.raises(BootError, match=r"Later\.paid' cannot be called: install flask\[async\]"):
        warm_up(shop.state, lambda app, sock: None)


def _run(function: Any, *arguments: Any) -> Any:

    return asyncio.run(function(*arguments))


def test_a_factory_has_a_class_of_its_own_for_each_app() -> None:
    """Each app calls its own class, with the variables of its own call."""
    events = DeferredEvents()

    def create(number: int) -> Shop:
        @events.listener
        class Own:
            @on("order.paid")
            def paid(self, event: Event) -> None:
                calls.append(("own", number))

        app = Flask("shop")
        events.init_app(app)
        shop = Shop.__new__(Shop)
        shop.app = app
        return shop

    first, second = create(1), create(2)
    first.replay()
    second.replay()

    assert calls == [("own", 1), ("own", 2)]


def _no_method(event: Event) -> None: ...


class NeedsArguments:
    """A class that cannot be made without arguments."""

    def __init__(self, database: object) -> None: ...

    @on("a")
    def listen(self, event: Event) -> None:
        """Do nothing."""


class Empty:
    """A class without a marked method."""


class TooFew:
    """A class whose method takes no event."""

    @on("a")
    def listen(self) -> None:
        """Do nothing."""


class Generates:
    """A class whose method is a generator."""

    @on("a")
    def listen(self, event: Event) -> Iterator[int]:
        """Do nothing."""
        yield 1


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (_no_method, "expected a class with methods"),
        (Invoices(), "expected a class with methods"),
        (NeedsArguments, "made without arguments: missing a required argument: 'database'"),
        (Empty, r"expected a method that @on\('some.pattern'\) decorates, got none"),
        (TooFew, r"TooFew.listen'.* can be called with an event"),
        (Generates, "Generates.listen'.*a generator"),
    ],
)
def test_what_cannot_listen_is_refused(what: Any, says: str) -> None:
    """The message names the class or method, and says what was expected."""
    with pytest.raises(TypeError, match=says):
        Shop().events.register(what)


def test_on_refuses_a_function_and_a_bad_pattern() -> None:
    """A function that `@on` decorates would never be registered."""
    with pytest.raises(TypeError, match=r"@events\.on"):
        on("a")(lambda event: None)
    with pytest.raises(ValueError, match="pattern 'a b'"):
        on("a b")
    with pytest.raises(ValueError, match="without a pattern"):
        on()
