"""The warm-up of an app in a child: what is refused before the child takes its first event."""

import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from app_adapter.app_server import flup_connection
from app_adapter.booting import BootError, warm_up
from app_adapter.call_to_end import UnfinishedWork
from tests.unit.app_adapter.replays import Shop
from tests.unit.app_adapter.test_call_to_end import AsyncShop


def serve(app: Flask, sock: socket.socket) -> None:
    flup_connection(sock, app).run()


async def later(*_: object) -> None:
    """An async listener and warm-up function."""


def hidden(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*arguments: Any) -> Any:
        return function(*arguments)

    return wrapper


class Later:
    """An object whose call is asynchronous."""

    async def __call__(self, event: object) -> None:
        """Be an async listener."""


@pytest.mark.parametrize("listener", [later, Later()])
def test_an_async_listener_that_cannot_be_run_is_refused(listener: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without asgiref each of its events would fail."""
    monkeypatch.setitem(sys.modules, "asgiref", None)
    monkeypatch.setitem(sys.modules, "asgiref.sync", None)
    shop = Shop()
    shop.events.on("order.#", name="ship")(listener)

    with pytest.raises(BootError, match=r"the listener 'ship' cannot be called: install flask\[async\]"):
        warm_up(shop.state, serve)


def test_an_async_warm_up_function_that_cannot_be_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names it."""
    monkeypatch.setitem(sys.modules, "asgiref", None)
    monkeypatch.setitem(sys.modules, "asgiref.sync", None)
    shop = Shop()
    shop.events.on_warmup(later)

    with pytest.raises(BootError, match=r"warm-up function '.*:later' cannot be called: install flask\[async\]"):
        warm_up(shop.state, serve)


@pytest.mark.parametrize("decorated", [lambda function: function, hidden])
def test_a_warm_up_function_runs_to_its_end(decorated: Callable[..., Any]) -> None:
    """An async one too, also behind a decorator."""
    shop = Shop(AsyncShop("shop"))
    filled = []

    async def fill() -> None:
        filled.append("cache")

    shop.events.on_warmup(decorated(fill))

    warm_up(shop.state, serve)

    assert filled == ["cache"]


def test_a_warm_up_function_that_leaves_its_work_undone_stops_the_boot() -> None:
    """The message names it."""
    shop = Shop()

    def steps() -> Iterator[None]:
        yield

    shop.events.on_warmup(hidden(steps))

    with pytest.raises(UnfinishedWork, match=r"the warm-up function '.*hidden.*' returned .*generator"):
        warm_up(shop.state, serve)


def test_an_event_with_too_many_listeners_stops_the_boot() -> None:
    """An event could not remember which of them have finished."""
    shop = Shop()
    for index in range(200):
        shop.listens(name=f"{'x' * 180} {index}")

    with pytest.raises(BootError, match=r"has 200 listeners, whose names take \d+ bytes: expected at most 24576"):
        warm_up(shop.state, serve)
