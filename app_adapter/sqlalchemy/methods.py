"""The methods of models that can run later: `article.deferred.publish()`, and where the pool finds them again.

The event's name is `method.article.publish`. A method is found among the models that the app has given a `deferred`
attribute, and in their classes: nothing is imported for an event.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from sqlalchemy import inspect as inspect_model
from sqlalchemy.orm import InstanceState, Mapper

from app_adapter.deferred_models.names import word_of
from bridge.errors import DeferError, shown
from bridge.topics import METHOD


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a model that is to be called. `identity` is the primary key of its record, None for a method of the
    class itself. `arguments` are those by position and by name."""

    model: type
    name: str
    identity: tuple[Any, ...] | None
    arguments: tuple[tuple[Any, ...], dict[str, Any]]

    @property
    def event_name(self) -> str:
        """The name of the events."""
        return f"{METHOD}{word_of(self.model)}.{self.name}"


@dataclass(frozen=True, slots=True)
class Loading:
    """How the records of models are loaded in the pool. `sessions` makes a session. `gone` is called with the model
    and the identity of a record that is not there; without it, the event is rejected."""

    sessions: Callable[[], Any]
    gone: Callable[[type, tuple[Any, ...]], Any] | None


class Models:
    """The classes that have a `deferred` attribute, with their subclasses."""

    def __init__(self) -> None:
        self._owners: dict[type, Loading] = {}

    def add(self, owner: type, loading: Loading) -> None:
        """Add a class and its subclasses, those that are defined later too."""
        self._owners[owner] = loading

    def find(self, word: str) -> tuple[type, Loading]:
        """Return the model of a word. Raise `LookupError` if there is none, or several."""
        found = dict(self._of_word(word))
        if len(found) != 1:
            names = ", ".join(f"{model.__module__}.{model.__qualname__}" for model in found) or "none"
            raise LookupError(f"models named {word!r} with a deferred attribute: expected one, got {names}")
        return found.popitem()

    def _of_word(self, word: str) -> Iterator[tuple[type, Loading]]:
        for owner, loading in self._owners.items():
            for model in (owner, *_subclasses(owner)):
                if isinstance(inspect_model(model, raiseerr=False), Mapper) and word_of(model) == word:
                    yield model, loading


def method_of(model: type, name: str, record: object | None) -> Callable[..., Any]:
    """Return the method of a record, or of the model itself without one. Raise `AttributeError` for a name that is
    none: private, a column, or a method of the other kind."""
    what = f"{model.__name__}.{name}"
    found = None if name.startswith("_") else inspect.getattr_static(model, name, None)
    if found is None:
        raise AttributeError(f"{what}: expected a public method of the model")
    if record is None and not isinstance(found, classmethod | staticmethod):
        raise AttributeError(f"{what}: expected a classmethod or staticmethod; of a record, defer its methods")
    if record is not None and not isinstance(found, FunctionType):
        raise AttributeError(f"{what}: expected a method that is called with a record")
    method: Callable[..., Any] = getattr(model if record is None else record, name)
    return method


def identity_of(record: object) -> tuple[Any, ...]:
    """Return the primary key of a record, without SQL. Raise `DeferError` for one that has none yet."""
    state: InstanceState[Any] = inspect_model(record)
    if state.identity is None:
        raise DeferError(f"{shown(record)}: expected a record that was flushed, because it is found by its primary key")
    return tuple(state.identity)


def _subclasses(model: type) -> Iterator[type]:
    subclasses: list[type] = model.__subclasses__()
    for subclass in subclasses:
        yield subclass
        yield from _subclasses(subclass)
