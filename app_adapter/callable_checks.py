"""The checks of a listener or warm-up function before it is called: that it takes its arguments, that a call runs it,
and whether it is asynchronous. `call_to_end` judges what it returns.

A function with `functools.wraps` is judged by itself and not by the function that it wraps: a decorator may add
arguments, or run a generator.
"""

import inspect
from collections.abc import Callable
from functools import partial
from types import FunctionType, MethodType
from typing import Any


def check_callable(what: str, function: object, *arguments: str) -> None:
    """Raise `TypeError` if the object cannot be called with as many positional arguments, or if a call would not run
    it. `what` names the object in the message, and `arguments` the arguments."""
    expected = f"{what}: expected a function that can be called with {' and '.join(arguments) or 'no argument'}"
    _check_runs(expected, function)
    _check_signature(expected, function, lambda signature: signature.bind(*arguments))


def check_receiver(what: str, function: object) -> None:
    """As `check_callable`, for a receiver of a signal: a function that can be called with a sender and with arguments
    by name."""
    expected = f"{what}: expected a function that can be called with a sender and arguments by name"
    _check_runs(expected, function)
    _check_signature(expected, function, lambda signature: signature.bind_partial("a sender"))


def _check_runs(expected: str, function: object) -> None:
    """Raise `TypeError` if a call of the object would not run it."""
    if not callable(function):
        raise TypeError(f"{expected}, got an object of the type {type(function).__name__}")
    called = _called(function)
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        raise TypeError(f"{expected}; this one is a generator, because it has a yield, so a call does not run it")
    if isinstance(function, FunctionType) and _first_parameter(inspect.unwrap(function)) in ("self", "cls"):
        raise TypeError(
            f"{expected}; this one is a method. Decorate a function, or register the method of an object: "
            "events.on(…)(shop.ship)"
        )


def _check_signature(expected: str, function: object, bind: Callable[[inspect.Signature], object]) -> None:
    try:
        signature = inspect.signature(function, follow_wrapped=False)  # type: ignore[arg-type]  # it is callable
    except (ValueError, TypeError):  # some built-in functions have no signature
        return
    try:
        bind(signature)
    except TypeError as error:
        raise TypeError(f"{expected}; this one has the parameters {signature}: {error}") from None


def name_of(function: object) -> str:
    """Return `module:function`, or the beginning of the object's representation if it has no such name."""
    name, module = getattr(function, "__qualname__", None), getattr(function, "__module__", None)
    return f"{function!r:.100}" if name is None or module is None else f"{module}:{name}"


def is_async(function: Callable[..., Any]) -> bool:
    """Return True if a call of the function returns a coroutine, as far as the function itself shows it."""
    return inspect.iscoroutinefunction(_called(function))


def _called(function: Callable[..., Any]) -> object:
    """Return the Python function that a call of the object runs: that of a partial, a method or a callable object."""
    called: Any = function
    while True:
        if isinstance(called, partial):
            called = called.func
        elif isinstance(called, MethodType | staticmethod):
            called = called.__func__
        elif callable(called) and isinstance(type(called).__call__, FunctionType):  # a class has a built-in __call__
            called = type(called).__call__
        else:
            return called


def _first_parameter(function: object) -> str | None:
    names = function.__code__.co_varnames if isinstance(function, FunctionType) else ()
    return names[0] if names and function.__code__.co_argcount else None  # type: ignore[attr-defined]  # as above
