"""Readers that turn tables of settings into frozen dataclasses and collect all problems in them. The notation of single
values is in `notation`; the settings themselves are in `settings` and `foreign_pool`.

A reader is a function that returns the value of a setting as the user wrote it, and raises `ValueError` with a message
that says what was expected. Each field of such a dataclass has the type `Annotated[…, reader]`, or that or None. This
replaces pydantic, whose import and models took half as long as Flask's import again, in every web process.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from bridge.config.closest import closest
from bridge.config.hiding import Hidden

T = TypeVar("T")
Reader = Callable[[object], Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """A value that cannot be used: the keys that lead to it, the value, and what was expected instead."""

    path: tuple[str, ...]
    value: object
    expected: str


class Unreadable(ValueError):
    """A value or table cannot be read, because of these problems."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(problem.expected for problem in problems))
        self.problems = problems


def keys_of(kind: type[Any]) -> tuple[str, ...]:
    """Return the names of the settings of a dataclass, in order."""
    return tuple(each.name for each in fields(kind))


def table(kind: type[T]) -> Callable[[object], T]:
    """Return a reader that turns a table into this dataclass. A field without a default must be in the table."""
    readers = {key: _reader(hint) for key, hint in get_type_hints(kind, include_extras=True).items()}
    required = _required(kind)

    def read(value: object) -> T:
        given = _mapping(value)
        collecting = _Collecting()
        values = {key: collecting.read(key, readers[key], given[key]) for key in readers if key in given}
        for key in given.keys() - readers.keys():
            collecting.add((str(key),), Hidden(), _no_such_setting(str(key), readers))
        for key in required:
            if key not in given:
                collecting.add((key,), None, "expected a value, but the table has none")
        collecting.finish()
        return kind(**values)

    return read


def mapping(key_reader: Reader, value_reader: Reader) -> Reader:
    """Return a reader of tables whose keys the user chooses. It returns a dict."""

    def read(value: object) -> dict[Any, Any]:
        collecting = _Collecting()
        read_items = [
            (collecting.read(str(key), key_reader, key), collecting.read(str(key), value_reader, each))
            for key, each in _mapping(value).items()
        ]
        collecting.finish()
        return dict(read_items)

    return read


def sequence(reader: Reader, expected: str = "expected a list") -> Reader:
    """Return a reader that turns a list into a tuple. `expected` is the message for a value that is not a list."""

    def read(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise Unreadable([Problem((), value, expected)])
        collecting = _Collecting()
        values = tuple(collecting.read(str(number), reader, each) for number, each in enumerate(value))
        collecting.finish()
        return values

    return read


class _Collecting:
    """Reads the parts of a table or list, and collects their problems until all parts are read."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []

    def read(self, key: str, reader: Reader, value: object) -> Any:
        try:
            return reader(value)
        except Unreadable as error:
            for problem in error.problems:
                self.add((key, *problem.path), problem.value, problem.expected)
        except ValueError as error:
            message = str(error)
            # A message of the standard library may quote the value, which may be a password.
            self.add((key,), value, message if "expected" in message else "expected a usable value")

    def add(self, path: tuple[str, ...], value: object, expected: str) -> None:
        self._problems.append(Problem(path, value, expected))

    def finish(self) -> None:
        if self._problems:
            raise Unreadable(self._problems)


def _mapping(value: object) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise Unreadable([Problem((), value, "expected a table")])
    return value


def _reader(hint: Any) -> Reader:
    if get_origin(hint) is Annotated:
        reader: Reader = hint.__metadata__[0]
        return reader
    (either,) = [each for each in get_args(hint) if each is not type(None)]
    reader = _reader(either)
    return lambda value: None if value is None else reader(value)


def _no_such_setting(key: str, known: Iterable[str]) -> str:
    near = closest(key, known)
    meant = f" (did you mean {near}?)" if near is not None else ""
    return f"no such setting{meant}; expected one of {', '.join(known)}"


def _required(kind: type[Any]) -> list[str]:
    return [each.name for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING]
