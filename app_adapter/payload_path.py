"""The place within a payload that cannot be written as JSON, as a Python expression: `payload['lines'][2]`."""

from collections.abc import Callable, Iterator

from bridge.errors import shown

DEEPEST = 50
"""Levels that are searched. A payload that contains itself has no end."""


def path_to(payload: object, fails: Callable[[object], bool]) -> str:
    """Return the path to the innermost value that `fails`. The payload itself fails."""
    path = "payload"
    for _ in range(DEEPEST):
        inner = next(((step, value) for step, value in _parts(payload) if fails(value)), None)
        if inner is None:
            break
        path, payload = f"{path}[{inner[0]}]", inner[1]
    return path


def _parts(value: object) -> Iterator[tuple[str, object]]:
    """Yield the values within a container, each with its key or index as text."""
    match value:
        case dict():
            yield from ((shown(key), each) for key, each in value.items())
        case list() | tuple():
            yield from ((str(index), each) for index, each in enumerate(value))
