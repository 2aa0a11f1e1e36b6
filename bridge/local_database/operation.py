"""An operation: work that was submitted to the database thread, and the future of its result.

The work is a function of the connection. It may run again after a failure, so it may change only the database. It may
raise a `BridgeError` only before its first write: then this operation alone fails, and the transaction goes on.
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
    """Work, and the future of its result on the loop that submitted it. `lock` guards its beginning and withdrawal.
    `Database.submit` explains the other arguments."""

    __slots__ = ("_begun", "_lock", "_withdrawn", "durable", "future", "wakes", "work", "writes")

    def __init__(self, work: Work[T], lock: threading.Lock, *, writes: bool, durable: bool, wakes: str | None) -> None:
        self.work = work
        self.writes = writes
        self.durable = durable
        self.wakes = wakes
        self.future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._lock = lock
        self._begun = False
        self._withdrawn = False

    def withdraw(self) -> bool:
        """Withdraw the work. Return False if it has begun, so that it may take effect."""
        with self._lock:
            self._withdrawn = not self._begun
        return self._withdrawn

    def begin(self) -> bool:
        """Mark the work as begun. Return False if it was withdrawn."""
        with self._lock:
            self._begun = not self._withdrawn
        return self._begun

    @property
    def withdrawn(self) -> bool:
        return self._withdrawn


Result = tuple[Operation[Any], Any, Exception | None]


def attempt(operation: Operation[T], connection: sqlite3.Connection) -> tuple[T | None, BridgeError | None]:
    """Do the work. Return its result, or the error with which this operation alone fails."""
    try:
        return operation.work(connection), None
    except BridgeError as error:
        return None, error


def resolve(results: list[Result]) -> None:
    """Resolve the futures. Called on their own loop."""
    for operation, value, error in results:
        if operation.future.done():
            continue  # the task that awaited it was cancelled
        if error is None:
            operation.future.set_result(value)
        else:
            operation.future.set_exception(error)
