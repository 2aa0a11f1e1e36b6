"""A factory that is called twice: each app calls the listeners and warm-up functions of its own call."""

import gc
import weakref
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import pytest
from flask import Flask

from app_adapter import DeferredEvents, Event
from app_adapter.registrations import is_same_source


def plainly(function: Callable[[Event], Any]) -> Callable[[Event], Any]:
    def wrapper(event: Event) -> Any:
        return function(event)

    return wrapper


def wrapped(function: Callable[[Event], Any]) -> Callable[[Event], Any]:
    @wraps(function)
    def wrapper(event: Event) -> Any:
        return function(event)

    return wrapper


class Mailer:
    """An object whose method is a listener."""

    def __init__(self, app: Flask) -> None:
        self.app = app

    def welcome(self, event: Event) -> None:
        self.app.config["seen"].append("welcome")


def made(events: DeferredEvents, name: str, register: Callable[[Flask], None], init_first: bool) -> Flask:
    """Return an app with its listeners, as a factory makes it."""
    app = Flask(name)
    app.config["seen"] = []
    if init_first:
        events.init_app(app)
    register(app)
    if not init_first:
        events.init_app(app)
    return app


def bare(events: DeferredEvents, app: Flask) -> None:
    @events.on("account.created")
    @events.on("account.imported")
    def welcome(event: Event) -> None:
        app.config["seen"].append("welcome")


def behind_a_decorator(events: DeferredEvents, app: Flask) -> None:
    @events.on("account.#", name="welcome")
    @plainly
    def welcome(event: Event) -> None:
        app.config["seen"].append("welcome")


def behind_wraps(events: DeferredEvents, app: Flask) -> None:
    @events.on("account.#")
    @wrapped
    def welcome(event: Event) -> None:
        app.config["seen"].append("welcome")


def a_lambda(events: DeferredEvents, app: Flask) -> None:
    events.on("account.#")(lambda event: app.config["seen"].append("welcome"))


def a_method(events: DeferredEvents, app: Flask) -> None:
    events.on("account.#")(Mailer(app).welcome)


def a_partial(events: DeferredEvents, app: Flask) -> None:
    def welcome(greeting: str, event: Event) -> None:
        app.config["seen"].append(greeting)

    events.on("account.#", name="welcome")(partial(welcome, "welcome"))


@pytest.mark.parametrize("init_first", [True, False])
@pytest.mark.parametrize("register", [bare, behind_a_decorator, behind_wraps, a_lambda, a_method, a_partial])
def test_each_app_calls_its_own_listeners(register: Callable[..., None], init_first: bool) -> None:
    """Three calls of a factory make three apps, which can be used at the same time."""
    events = DeferredEvents()
    apps = [made(events, f"shop {number}", partial(register, events), init_first) for number in range(3)]

    for app in apps:
        with events.testing() as deferred, app.app_context():
            events.defer("account.created", {})
            deferred.replay()

    assert [app.config["seen"] for app in apps] == [["welcome"]] * 3


def test_all_apps_call_a_listener_of_the_module() -> None:
    """It is registered once, before or after the first app."""
    events = DeferredEvents()
    seen: list[str] = []
    events.on("account.#", name="before")(lambda event: seen.append("before"))
    apps = [made(events, f"shop {number}", lambda app: None, True) for number in range(2)]
    events.on("account.#", name="after")(lambda event: seen.append("after"))

    for app in apps:
        with events.testing() as deferred, app.app_context():
            events.defer("account.created", {})
            deferred.replay()

    assert seen == ["before", "after"] * 2


@pytest.mark.parametrize("init_first", [True, False])
def test_two_functions_of_one_name_within_a_factory_are_refused(init_first: bool) -> None:
    """The second would be called in place of the first. Two functions behind one decorator have one name."""
    events = DeferredEvents()

    def register(app: Flask) -> None:
        @events.on("account.created")
        @plainly
        def welcome(event: Event) -> None:
            """A listener."""

        @events.on("account.created")
        @plainly
        def bill(event: Event) -> None:
            """Another listener."""

    with pytest.raises(ValueError, match="another function has this name; pass name="):
        made(events, "shop", register, init_first)


def test_another_function_of_a_known_name_is_refused_in_a_second_app() -> None:
    """Only the same lines, run again, are another version of a listener."""
    events = DeferredEvents()
    made(events, "shop 1", lambda app: None, True)
    events.on("a", name="it")(lambda event: None)
    made(events, "shop 2", lambda app: None, True)

    with pytest.raises(ValueError, match="another function has this name"):
        events.on("a", name="it")(lambda event: 1)


@pytest.mark.parametrize("init_first", [True, False])
def test_each_app_has_its_own_warm_up_functions(init_first: bool) -> None:
    """Functions of one name within one app are all called."""
    events = DeferredEvents()

    def register(app: Flask) -> None:
        for number in range(2):
            events.on_warmup(lambda number=number: app.config["seen"].append(number))

    apps = [made(events, f"shop {number}", register, init_first) for number in range(3)]
    for app in apps:
        for function in app.extensions["deferred_events"].warm_ups:
            function()

    assert [app.config["seen"] for app in apps] == [[0, 1]] * 3


def test_an_app_that_is_gone_keeps_no_memory() -> None:
    """A test suite makes many apps with one extension. Only the newest listeners are kept."""
    events = DeferredEvents()
    apps = [weakref.ref(made(events, f"shop {number}", partial(bare, events), True)) for number in range(5)]
    gc.collect()

    assert [app() is not None for app in apps] == [False, False, False, False, True]


def test_the_source_of_a_function_is_compared_with_its_decorators() -> None:
    """Another decorator, or another function in the same decorator, is another source."""

    def one() -> Callable[..., Any]:
        return lambda event: None

    def other() -> Callable[..., Any]:
        return lambda event: 1

    assert is_same_source(one(), one())
    assert is_same_source(plainly(one()), plainly(one()))
    assert is_same_source(Mailer(Flask("a")).welcome, Mailer(Flask("b")).welcome)
    assert not is_same_source(one(), other())
    assert not is_same_source(plainly(one()), plainly(other()))
    assert not is_same_source(plainly(one()), wrapped(one()))
    assert not is_same_source(one(), print)
    assert not is_same_source(Flask, DeferredEvents)
