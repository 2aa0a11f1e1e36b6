"""The functions that are registered with an extension, by name, and the version of each function that an app has.

A factory that is called twice registers the functions in it twice: with one name and one source, but each with the
variables of its own call. The first app keeps its version, and the newer app has the newer one.
"""

import itertools
import weakref
from collections.abc import Iterator
from functools import partial
from types import FunctionType, MethodType
from typing import Generic, TypeVar

T = TypeVar("T")

NESTING = 10
"""Most decorators of one function that are compared."""


class AppRegistrations(Generic[T]):
    """The functions of one app: the newest version of each, except where an older version is this app's own."""

    def __init__(self, shared: "Registrations[T]") -> None:
        self._shared = shared
        self.replaced: dict[str, T] = {}
        """The app's own versions of functions of which a newer app has its own version."""

    def __iter__(self) -> Iterator[T]:
        for name, item in self._shared.newest():
            yield self.replaced.get(name, item)

    @property
    def changes(self) -> int:
        """A number that grows with each registration."""
        return self._shared.changes


class _Version(Generic[T]):
    """The newest version of a function. `owner` is the app that it belongs to, None until an app is begun after it.
    `follows` is True if it was registered after its owner was begun."""

    def __init__(self, item: T, owner: "weakref.ref[AppRegistrations[T]] | None") -> None:
        self.item = item
        self.owner = owner
        self.follows = owner is not None


class Registrations(Generic[T]):
    """The functions that all apps of an extension share, in the order of their registration.

    An app has a reference to its functions, which may have one to the app, so the functions that a newer app has
    replaced are kept by the older app alone.
    """

    def __init__(self) -> None:
        self._versions: dict[str, _Version[T]] = {}
        self._latest: weakref.ref[AppRegistrations[T]] | None = None
        self.changes = 0

    def newest(self) -> Iterator[tuple[str, T]]:
        """Yield each name with its newest version."""
        for name, version in self._versions.items():
            yield name, version.item

    def begin_app(self) -> AppRegistrations[T]:
        """Return the functions of a new app. Those that no app owns yet are its own."""
        app: AppRegistrations[T] = AppRegistrations(self)
        self._latest = weakref.ref(app)
        for version in self._versions.values():
            version.owner = version.owner or self._latest
        return app

    def get(self, name: str) -> T | None:
        """Return the newest version of this name; None if there is none."""
        version = self._versions.get(name)
        return None if version is None else version.item

    def awaits_another(self, name: str) -> bool:
        """Return True if the next registration of this name is another app's version.

        It is, if the name's owner is not the latest app, or if the owner was begun after the last registration, as in a
        factory that registers its functions first.
        """
        version = self._versions[name]
        return version.owner is not None and (version.owner is not self._latest or not version.follows)

    def add(self, name: str, item: T) -> None:
        """Register a new name, or another app's version of it."""
        owner = self._latest
        old = self._versions.get(name)
        if old is not None:
            owner = None if old.owner is self._latest else self._latest
            older_app = None if old.owner is None else old.owner()
            if older_app is not None:
                older_app.replaced[name] = old.item
        self._versions[name] = _Version(item, owner)
        self.changes += 1

    def add_nameless(self, name: str, item: T) -> None:
        """Register a function whose name others may have: another app's version of it, or else one more function."""
        for number in itertools.count(1):
            key = name if number == 1 else f"{name} {number}"
            old = self.get(key)
            if old is None or (self.awaits_another(key) and is_same_source(old, item)):
                self.add(key, item)
                return

    def change(self, name: str, item: T) -> None:
        """Replace the newest version of a name by the same function, registered otherwise."""
        self._versions[name].item = item
        self.changes += 1


def is_same_source(one: object, other: object, nesting: int = NESTING) -> bool:
    """Return True if two functions come from the same lines, with the same decorators."""
    if one is other:
        return True
    if type(one) is not type(other) or not nesting:
        return False
    if isinstance(one, partial) and isinstance(other, partial):
        return is_same_source(one.func, other.func, nesting - 1)
    if isinstance(one, MethodType) and isinstance(other, MethodType):
        return is_same_source(one.__func__, other.__func__, nesting - 1)
    if isinstance(one, FunctionType) and isinstance(other, FunctionType):
        functions = [_functions_in(one), _functions_in(other)]
        pairs = zip(*functions, strict=False)
        return one.__code__ is other.__code__ and all(is_same_source(a, b, nesting - 1) for a, b in pairs)
    return not isinstance(one, type)  # two callable objects of one class


def _functions_in(function: FunctionType) -> list[object]:
    """Return the functions that a decorator's inner function calls: those of its closure."""
    cells = [cell.cell_contents for cell in function.__closure__ or () if not _is_empty(cell)]
    return [content if isinstance(content, FunctionType | MethodType | partial) else None for content in cells]


def _is_empty(cell: object) -> bool:
    try:
        cell.cell_contents  # type: ignore[attr-defined]  # noqa: B018  # an empty cell raises
    except ValueError:
        return True
    return False
