"""The attribute `deferred` of a model: each method that is called on it is deferred, or asked of the pool."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app_adapter.sqlalchemy.methods import Loading, Method, Models, identity_of, method_of

Send = Callable[[Method, dict[str, Any]], Any]
"""Defers or calls a method with these options."""


class Deferred:
    """The descriptor that a model has as its attribute `deferred`."""

    def __init__(self, models: Models, loading: Loading, defer: Send, call: Send) -> None:
        self._models = models
        self._loading = loading
        self._defer = defer
        self._call = call

    def __set_name__(self, owner: type, name: str) -> None:
        self._models.add(owner, self._loading)

    def __get__(self, record: object | None, model: type) -> "DeferredMethods":
        """Return what defers the methods of a record, or of the model."""
        return DeferredMethods(_Target(model, record, self._models), {}, self._defer, self._call)


@dataclass(frozen=True, slots=True)
class _Target:
    """A record, or a model alone, whose methods are called."""

    model: type
    record: object | None
    models: Models

    def method(self, name: str, positional: tuple[Any, ...], named: dict[str, Any]) -> Method:
        """Return the method with its arguments. Raise `TypeError` for arguments that it does not take."""
        function = method_of(self.model, name, self.record)
        try:
            inspect.signature(function).bind(*positional, **named)
        except TypeError as error:
            raise TypeError(f"{self.model.__name__}.{name}(): {error}") from None
        identity = None if self.record is None else identity_of(self.record)
        method = Method(self.model, name, identity, (positional, named))
        self.models.find(method.event_name.split(".")[1])  # so that the pool finds it
        return method


class DeferredMethods:
    """The methods of one record or model. A call of one returns the id of its event.

    Raise `AttributeError` for a method that does not exist, `TypeError` for arguments that it does not take, and what
    `defer()` raises.
    """

    def __init__(self, target: _Target, options: dict[str, Any], defer: Send, call: Send) -> None:
        self._target = target
        self._options = options
        self._defer = defer
        self._call = call

    def __call__(self, **options: Any) -> "DeferredMethods":
        """Return the same methods, deferred with these arguments of `defer()`: `session`, `delay`, `priority` and so
        on. They are checked when a method is called."""
        return DeferredMethods(self._target, {**self._options, **options}, self._defer, self._call)

    @property
    def call(self) -> "CalledMethods":
        """The same methods, of which a call waits for what the method returns in the pool."""
        return CalledMethods(self._target, self._options, self._call)

    def __getattr__(self, name: str) -> Callable[..., str]:
        return _sender(self._target, name, self._options, self._defer)


class CalledMethods:
    """The methods of one record or model. A call of one returns what it returned in the pool, or raises `CallError`."""

    def __init__(self, target: _Target, options: dict[str, Any], call: Send) -> None:
        self._target = target
        self._options = options
        self._call = call

    def __call__(self, **options: Any) -> "CalledMethods":
        """Return the same methods, called with these options: `timeout`."""
        return CalledMethods(self._target, {**self._options, **options}, self._call)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return _sender(self._target, name, self._options, self._call)


def _sender(target: _Target, name: str, options: dict[str, Any], send: Send) -> Callable[..., Any]:
    method_of(target.model, name, target.record)

    def sender(*positional: Any, **named: Any) -> Any:
        return send(target.method(name, positional, named), options)

    return sender
