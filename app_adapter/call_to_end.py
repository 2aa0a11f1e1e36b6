"""The call of a function of the app: everything that the function returns as work still to be done is done, or refused.

A function may return an awaitable or a generator instead of doing its work, for example an `async def` behind a plain
decorator. Awaitables and futures are run to their end. Any other unfinished work is an error that names the function.
`callable_checks` refuses what can be seen before a call.
"""

import io
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import ContextDecorator
from functools import partial
from inspect import isawaitable, iscoroutine, isgenerator
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, TypeVar

from werkzeug.wrappers import Response

T = TypeVar("T")

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
        try:
            return run_async(what, finish_in_loop, what, result, run=run)
        finally:
            _close(parts)
    for part in parts:
        if _is_future_of_a_pool(part):
            finished = finish(what, part.result(), run)
            result = finished if part is result else result
        else:
            _check_ended(what, part)
    return result


async def finish_in_loop(what: str, result: Any) -> Any:
    """Do the work that a function has returned, as `call_to_end` does, in the event loop that runs."""
    parts = sorted(_parts(result), key=isawaitable, reverse=True)  # the other work may end while they are awaited
    try:
        for part in parts:
            if (awaitable := _awaitable(what, part)) is not None:
                finished = await finish_in_loop(what, await awaitable)
                result = finished if part is result else result
            else:
                _check_ended(what, part)
    finally:
        _close(parts)
    return result


def run_async(what: str, function: Callable[..., Coroutine[Any, Any, T]], *arguments: Any, run: Runner) -> T:
    """Run an async function to its end, in an event loop of its own. Raise `UnfinishedWork` if the app has none."""
    try:
        plain = run(function)
    except RuntimeError as error:  # raised by Flask: asgiref, which runs async functions, is not installed
        raise UnfinishedWork(f"{what} is asynchronous and cannot be run: install flask[async]. {error}") from error
    result: T = plain(*arguments)
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


def _awaitable(what: str, part: Any) -> Awaitable[Any] | None:
    """Return what is awaited for the result of a part; None if the part is nothing to wait for."""
    from asyncio import Future, get_running_loop, wrap_future  # imported here: a process without awaitables needs none

    if _is_future_of_a_pool(part):
        return wrap_future(part)
    if isinstance(part, Future) and not part.done() and part.get_loop() is not get_running_loop():
        raise _refusal(what, part, "it belongs to an event loop that does not run: await it in the function")
    return part if isawaitable(part) else None


def _close(parts: Iterable[Any]) -> None:
    """Close the coroutines that nobody has awaited, so that Python does not warn of them. One that has ended does not
    change."""
    for part in parts:
        if iscoroutine(part):
            part.close()


def _check_ended(what: str, part: object) -> None:
    """Raise `UnfinishedWork` for a part that stands for work that nobody will do."""
    if (why := _unfinished(part)) is not None:
        raise _refusal(what, part, why)


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


def _is_future_of_a_pool(result: object) -> bool:
    return _is_a(result, "concurrent.futures", "Future")


def _is_a(result: object, module: str, name: str) -> bool:
    """Return True if the result is an instance of this class. No process imports a module for that."""
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(result, kind)


def _refusal(what: str, result: object, why: str) -> UnfinishedWork:
    kind = type(result)
    return UnfinishedWork(f"{what} returned a result of the type {kind.__module__}.{kind.__qualname__}, and {why}")
