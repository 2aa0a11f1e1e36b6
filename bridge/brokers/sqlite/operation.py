"""An operation: work that was submitted to the database thread, and the future of its result.

The work is a function of the connection. It may be run again after a failure, so it changes nothing but the database;
it raises a `BridgeError` only before it has written, and then it fails alone.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from bridge.errors import BridgeError

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


class Operation(Generic[T]):
    """Work, and the future of its result on the loop that submitted it. `lock` guards who may still withdraw it."""

    def __init__(self, work: Work[T], writes: bool, rings: bool, lock: threading.Lock) -> None:
        self.work = work
        self.writes = writes
        self.rings = rings
        self.future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._lock = lock
        self._begun = False
        self._withdrawn = False

    def withdraw(self) -> bool:
        """Take it back; False where it has begun, so that it may be done."""
        with self._lock:
            self._withdrawn = not self._begun
        return self._withdrawn

    def begin(self) -> bool:
        """Begin it; False where it was withdrawn."""
        with self._lock:
            self._begun = not self._withdrawn
        return self._begun

    @property
    def withdrawn(self) -> bool:
        return self._withdrawn


Result = tuple[Operation[Any], Any, Exception | None]


def attempt(operation: Operation[T], connection: sqlite3.Connection) -> tuple[T | None, BridgeError | None]:
    """Do the work; return its result, or the error by which it fails alone."""
    try:
        return operation.work(connection), None
    except BridgeError as error:
        return None, error


def resolve(results: list[Result]) -> None:
    """Tell those who wait, on the loop on which they do."""
    for operation, value, error in results:
        if operation.future.done():
            continue  # whoever awaited it was cancelled
        if error is None:
            operation.future.set_result(value)
        else:
            operation.future.set_exception(error)
