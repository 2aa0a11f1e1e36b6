"""The call of a function of the app: everything that the function returns as work still to be done is done, or refused.

A function may return an awaitable or a generator instead of doing its work, for example an `async def` behind a plain
decorator. Awaitables and futures are run to their end. Any other unfinished work is an error that names the function.
`callable_checks` refuses what can be seen before a call.
"""

import io
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ContextDecorator
from functools import partial
from inspect import isawaitable, iscoroutine, isgenerator
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from werkzeug.wrappers import Response

Runner = Callable[[Callable[..., Any]], Callable[..., Any]]
"""Makes a plain function of an async one: `Flask.ensure_sync`."""

_FUNCTIONS = (FunctionType, MethodType, BuiltinFunctionType, partial)

# Types of modules that may never be imported, with the test whether the work has ended.
_BACKGROUND: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    ("threading", "Thread", lambda thread: thread.ident is not None and not thread.is_alive()),
    ("subprocess", "Popen", lambda process: process.poll() is not None),
    ("multiprocessing.process", "BaseProcess", lambda process: process.exitcode is not None),
    ("multiprocessing.pool", "AsyncResult", lambda result: result.ready()),
    ("gevent", "Greenlet", lambda greenlet: greenlet.ready()),
)


class UnfinishedWork(Exception):
    """A listener or warm-up function returned work that nobody will do. The message names it."""


def call_to_end(what: str, function: Callable[..., Any], *arguments: Any, run: Runner) -> Any:
    """Call the function, and do the work that it returns: await awaitables, and wait for futures of thread pools.
    Return its result: of an awaitable or a future, what that resulted in.

    `what` names the function in messages. Raise what the function or its work raises, and `UnfinishedWork` for work
    that cannot be run, such as a generator.
    """
    result = function(*arguments)
    return None if result is None else finish(what, result, run)


def finish(what: str, result: Any, run: Runner) -> Any:
    """Do the work that a function has returned, as `call_to_end` does."""
    parts = list(_parts(result))
    if any(isawaitable(part) for part in parts):
        awaited = _run_awaitables(what, parts, run)
        if parts[0] is result:
            result = awaited[0]
        parts = [part for each in awaited for part in _parts(each)]
    for part in parts:
        if _is_a(part, "concurrent.futures", "Future"):
            finished = finish(what, part.result(), run)
            result = finished if part is result else result
        elif (why := _unfinished(part)) is not None:
            raise _refusal(what, part, why)
    return result


def _parts(result: object) -> Iterator[Any]:
    """Yield the result, or the items of the lists, tuples, sets and dicts in it."""
    pending, containers = [result], set()
    while pending:
        part = pending.pop()
        if not isinstance(part, list | tuple | set | frozenset | dict):
            yield part
        elif id(part) not in containers:  # a list may contain itself
            containers.add(id(part))
            pending.extend(part.values() if isinstance(part, dict) else part)


def _run_awaitables(what: str, parts: list[Any], run: Runner) -> list[Any]:
    try:
        try:
            await_all = run(_await_all)
        except RuntimeError as error:  # raised by Flask: asgiref, which runs async functions, is not installed
            raise UnfinishedWork(f"{what} is asynchronous and cannot be run: install flask[async]. {error}") from error
        results: list[Any] = await_all(what, parts)
        return results
    finally:
        for part in parts:
            if iscoroutine(part):
                part.close()  # so that Python does not warn of it; a coroutine that has ended does not change


async def _await_all(what: str, parts: list[Any]) -> list[Any]:
    """Await the awaitables among the parts, and those that these return, in one event loop; return the parts with the
    results of the awaitables in their places."""
    return [await _awaited(what, part) for part in parts]


async def _awaited(what: str, part: Any) -> Any:
    from asyncio import Future, get_running_loop  # imported here, because a process without awaitables does not need it

    while isawaitable(part):
        if isinstance(part, Future) and not part.done() and part.get_loop() is not get_running_loop():
            raise _refusal(what, part, "it belongs to an event loop that does not run: await it in the function")
        part = await part
    for each in _parts(part):
        if each is not part and isawaitable(each):
            await _awaited(what, each)
    return part


def _unfinished(result: object) -> str | None:
    """Return why the result stands for work that nobody will do; None if it does not."""
    if isinstance(result, BaseException):
        return "nobody raises it: raise it in the function"
    if isinstance(result, _FUNCTIONS):
        return "nobody calls it: call it in the function"
    if isinstance(result, ContextDecorator) and isgenerator(getattr(result, "gen", None)):
        return "nobody enters it: use it in a with statement"
    if isinstance(result, Response) and result.is_streamed:
        return "nobody reads its stream: do the work before you return"
    # A file, and a cursor that has executed its statement, are iterators too.
    is_iterator = isinstance(result, Iterator | AsyncIterator)
    if is_iterator and not isinstance(result, io.IOBase) and not hasattr(result, "fetchmany"):
        return "nobody iterates over it: do the work in a loop, without yield"
    for module, name, has_ended in _BACKGROUND:
        if _is_a(result, module, name) and not has_ended(result):
            return "its work may not have ended: wait for its end"
    return None


def _is_a(result: object, module: str, name: str) -> bool:
    """Return True if the result is an instance of this class. No process imports a module for that."""
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(result, kind)


def _refusal(what: str, result: object, why: str) -> UnfinishedWork:
    kind = type(result)
    return UnfinishedWork(f"{what} returned a result of the type {kind.__module__}.{kind.__qualname__}, and {why}")
