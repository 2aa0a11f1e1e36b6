"""The call of a listener: work that it returns is done, or the event fails with an error that names the listener."""

import asyncio
import io
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial, wraps
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, MagicMock, Mock

import pytest
from flask import Flask, Response

from app_adapter import Event, EventFailed, Reject, Retry
from app_adapter.call_to_end import UnfinishedWork, call_to_end
from tests.unit.app_adapter.replays import Shop

done: list[str] = []
"""The actions of a test's listeners, in their order."""


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done.clear()


class AsyncShop(Flask):
    """An app that runs async functions without asgiref."""

    def async_to_sync(self, func: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        async def awaited(*arguments: Any) -> Any:
            return await func(*arguments)

        return lambda *arguments: asyncio.run(awaited(*arguments))


async def work(*_: object) -> None:
    await asyncio.sleep(0)
    done.append("work")


async def broken(*_: object) -> None:
    await asyncio.sleep(0)
    raise ValueError("broken")


async def returns_a_coroutine(event: object) -> Any:
    return work()


async def returns_a_task(event: object) -> Any:
    return asyncio.create_task(work())


async def returns_tasks(event: object) -> Any:
    return [asyncio.create_task(work())], 200


def plainly(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(event: object) -> Any:
        return function(event)

    return wrapper


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def wrapper(*arguments: Any, **named: Any) -> Any:
        return function(*arguments, **named)

    return wrapper


class Callee:
    """An object whose call and method are asynchronous."""

    async def __call__(self, event: object) -> None:
        await work()

    async def method(self, event: object) -> None:
        await work()


class Awaited:
    """An awaitable that is no coroutine."""

    def __await__(self) -> Iterator[None]:
        return work().__await__()


def in_a_thread(*_: object) -> Future[None]:
    with ThreadPoolExecutor() as pool:
        return pool.submit(done.append, "work")


async def returns_a_thread(event: object) -> Any:
    return [ThreadPoolExecutor().submit(work)]


RUN: dict[str, Callable[..., Any]] = {
    "a coroutine function": work,
    "behind a plain decorator": plainly(work),
    "behind functools.wraps": wrapped(work),
    "two decorators": plainly(wrapped(work)),
    "a lambda": lambda event: work(),
    "a partial": partial(work, 1),
    "an object": Callee(),
    "a method": Callee().method,
    "an awaitable object": lambda event: Awaited(),
    "a coroutine that returns a coroutine": returns_a_coroutine,
    "a coroutine that returns its task": returns_a_task,
    "tasks in a list in a tuple": returns_tasks,
    "a list of coroutines": lambda event: [work()],
    "a dict with a coroutine": lambda event: {"sent": work()},
    "a future of a thread": in_a_thread,
    "a thread that returns a coroutine": lambda event: ThreadPoolExecutor().submit(work),
    "a coroutine that returns a future of a thread that returns a coroutine": returns_a_thread,
    "a mock": AsyncMock(side_effect=work),
}


@pytest.mark.parametrize("name", RUN)
def test_work_that_is_returned_is_done(name: str) -> None:
    """An event is delivered only when the work has been done."""
    shop = Shop(AsyncShop("shop"))
    shop.events.on("order.#", name="ship")(RUN[name])

    assert shop.replay().verdict.kind == "delivered"
    assert done == ["work"]


def in_a_broken_thread(*_: object) -> Future[float]:
    with ThreadPoolExecutor() as pool:
        return pool.submit(lambda: 1 / 0)


FAILING: list[tuple[Callable[..., Any], str]] = [
    (plainly(broken), "ValueError"),
    (lambda event: [work(), broken()], "ValueError"),
    (in_a_broken_thread, "ZeroDivisionError"),
    (lambda event: [in_a_broken_thread()], "ZeroDivisionError"),
]


@pytest.mark.parametrize(("listener", "error"), FAILING)
def test_a_failure_of_returned_work_fails_the_event(listener: Callable[..., Any], error: str) -> None:
    """The error is the work's own."""
    shop = Shop(AsyncShop("shop"))
    shop.events.on("order.#", name="ship")(listener)

    verdict = shop.replay().verdict

    assert verdict.kind == "failed"
    assert verdict.error is not None and verdict.error.type == error


def generator(event: object) -> Iterator[None]:
    done.append("work")
    yield


async def async_generator(event: object) -> AsyncIterator[None]:
    done.append("work")
    yield


async def returns_a_generator(event: object) -> Iterator[None]:
    return generator(event)


async def returns_one_that_returns_a_generator(event: object) -> Any:
    return [returns_a_generator(event)]


class Iterating:
    """An iterator of the app's own."""

    def __iter__(self) -> Iterator[None]:
        return self

    def __next__(self) -> None:
        done.append("work")


def sleeping_program(event: object) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


REFUSED: dict[str, Callable[..., Any]] = {
    "a generator": plainly(generator),
    "a generator behind functools.wraps": wrapped(generator),
    "an async generator": plainly(async_generator),
    "a coroutine that returns a generator": returns_a_generator,
    "a coroutine that returns one that returns a generator": returns_one_that_returns_a_generator,
    "a generator in a list": lambda event: [generator(event)],
    "a generator in a view's tuple": lambda event: (generator(event), 200),
    "a map": lambda event: map(done.append, ["work"]),
    "an iterator of the app": lambda event: Iterating(),
    "a context manager": contextmanager(generator),
    "a streamed response": lambda event: Response(str(each) for each in generator(event)),
    "a function": lambda event: plainly,
    "a partial": lambda event: partial(done.append, "work"),
    "a method": lambda event: done.clear,
    "a thread that was not started": lambda event: threading.Thread(target=done.append, args=["work"]),
    "a future of another event loop": lambda event: asyncio.Future(loop=asyncio.new_event_loop()),
    "the class Retry": lambda event: Retry(after=5),
    "a Reject": lambda event: Reject("no"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore:unclosed event loop")
def test_work_that_cannot_be_run_is_a_failure_that_names_the_listener(name: str) -> None:
    """The event is not delivered, and the message says which listener returned what."""
    shop = Shop(AsyncShop("shop"))
    shop.events.on("order.#", name="ship")(REFUSED[name])

    verdict = shop.replay().verdict

    assert verdict.kind == "failed"
    assert verdict.error is not None
    assert verdict.error.type == "app_adapter.call_to_end.UnfinishedWork"
    assert verdict.error.message.startswith("the listener 'ship' returned a result of the type ")
    assert done == []


def test_a_program_that_still_runs_is_unfinished_work() -> None:
    """Once it has ended, it is not."""
    with sleeping_program(None) as program:
        with pytest.raises(UnfinishedWork, match=r"'ship' returned a result of the type subprocess\.Popen"):
            call_to_end("'ship'", lambda: program, run=AsyncShop("shop").ensure_sync)
        program.communicate(b"\n")
        call_to_end("'ship'", lambda: program, run=AsyncShop("shop").ensure_sync)


def test_an_observer_that_returns_a_generator_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Its failure does not change the outcome, but the log has its name and the reason."""
    shop = Shop(AsyncShop("shop"))
    shop.listens()
    shop.events.on("order.#", name="watch", observer=True)(plainly(generator))

    assert shop.replay().verdict.kind == "delivered"
    assert "the listener 'watch' returned a result of the type builtins.generator" in caplog.text


def endless() -> list[Any]:
    result: list[Any] = [1]
    result.append(result)
    return result


def cursor() -> sqlite3.Cursor:
    return sqlite3.connect(":memory:").execute("CREATE TABLE orders (id)")


def ended_thread() -> threading.Thread:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    return thread


@pytest.mark.parametrize(
    "make",
    [
        *(lambda: None, lambda: 0, lambda: False, lambda: "text", lambda: b"bytes", lambda: (204, {}), dict, object),
        *(Mock, MagicMock, cursor, endless, ended_thread, io.BytesIO, lambda: range(3), lambda: SimpleNamespace(a=1)),
        *(lambda: Response("sent"), lambda: ("", 204), lambda: Shop),
    ],
)
def test_a_value_is_no_work(make: Callable[[], object]) -> None:
    """A listener may return what it likes: the event is delivered."""
    shop = Shop()
    shop.events.on("order.#", name="ship")(lambda event: make())

    assert shop.replay().verdict.kind == "delivered"


def test_without_asgiref_the_failure_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the listener, and Python does not warn of a coroutine that was never awaited."""
    monkeypatch.setitem(sys.modules, "asgiref", None)
    monkeypatch.setitem(sys.modules, "asgiref.sync", None)
    shop = Shop()
    shop.events.on("order.#", name="ship")(plainly(work))

    verdict = shop.replay().verdict

    assert verdict.error is not None
    assert verdict.error.message.startswith("the listener 'ship' is asynchronous and cannot be run: install flask[asyn")


def test_in_a_recording_the_failure_is_the_same() -> None:
    """`events.testing()` replays through the same receiver."""
    shop = Shop()
    shop.events.on("order.#", name="ship")(plainly(generator))

    with shop.events.testing() as deferred:
        shop.events.defer("order.paid")
        with pytest.raises(EventFailed, match=r"the listener 'ship' returned a result of the type builtins\.generator"):
            deferred.replay()


def test_the_event_reaches_the_function() -> None:
    """A call has the arguments that it was given."""
    received: list[Event] = []
    event = Mock()

    call_to_end("it", received.append, event, run=Flask("shop").ensure_sync)

    assert received == [event]
