"""The database thread: runs operations that coroutines submit, all pending ones in one transaction (group commit).

`operation.py` defines an operation. A connection must not be used after a fork: it is closed before one.
"""

import asyncio
import math
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from bridge.errors import BridgeError, BrokerUnavailable
from bridge.local_database.connection import (
    BUSY_AT_MOST,
    BUSY_GROWTH,
    BUSY_SECONDS,
    Tables,
    connect,
    file_at,
    is_busy,
    translated,
)
from bridge.local_database.foreign_commits import LOOK_SECONDS, ForeignCommits
from bridge.local_database.forks import Gate
from bridge.local_database.one_name import one_name
from bridge.local_database.operation import Operation, Result, T, Work, attempt, resolve
from bridge.local_database.own_threads import mark_this_thread
from bridge.local_database.wakeups import Wakeups

READING, WRITING = "BEGIN", "BEGIN IMMEDIATE"

HURRIED = 2.0
"""Seconds that this process waits for a busy file after `hurry()`."""


class Database:
    """The one connection of a process to the file, and its thread, which is started by the first operation."""

    def __init__(
        self, path: Path, tables: Tables, limit: int | None = None, *, creates: bool = True, group: int | None = None
    ) -> None:
        """`limit` is the size in bytes at which the file counts as full. `creates`: a missing file is created. `group`
        may use the file as well as this user (None: no group)."""
        self.path = path = one_name(path)
        self._limit = limit
        self._creates = creates
        self._group = group
        self.name = f"SQLite database {path}"
        self._tables = tables
        self.wakeups = Wakeups(path)
        self._lock = threading.Lock()
        self._submitted: list[Operation[Any]] = []
        self._inbox: queue.SimpleQueue[list[Operation[Any]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._patient_until = math.inf
        self._ended = False
        self._closers: list[asyncio.Future[None]] = []
        self._connection: sqlite3.Connection | None = None
        self._gate = Gate(self._disconnect)
        self._opened: tuple[int, int] | None = None
        self.replaced = 0
        """The number of times that the file was found removed or replaced. Read only on the database thread."""
        self.busy = False
        """True while another process uses the file, and this one waits for it."""
        self._wait = BUSY_SECONDS
        self._synced = True
        self._foreign_commits = ForeignCommits()

    def submit(
        self, work: Work[T], *, writes: bool = True, durable: bool = True, wakes: str | None = None
    ) -> Operation[T]:
        """Submit work. It runs in one transaction with all work that is submitted until the thread is free; work that
        only reads runs in a transaction of its own.

        `durable`: the commit is synced to the disk. Work that is not durable survives the end of any process, but a
        power cut may undo it, unless durable work was committed after it. `wakes`: a mark of `wakeups`; wake the other
        processes that have it after the commit."""
        if self._closing:
            raise BrokerUnavailable(f"{self.name}: closed here")
        operation = Operation(work, self._lock, writes=writes, durable=durable, wakes=wakes)
        if not self._submitted:
            asyncio.get_running_loop().call_soon(self._hand_over)
        self._submitted.append(operation)
        return operation

    async def run(self, work: Work[T], *, writes: bool = True, durable: bool = True, wakes: str | None = None) -> T:
        """Do the work and return its result; see `submit`. Raise the work's errors, or `BrokerUnavailable`. On
        cancellation, withdraw work that has not begun."""
        operation = self.submit(work, writes=writes, durable=durable, wakes=wakes)
        try:
            return await operation.future
        except asyncio.CancelledError:
            operation.withdraw()
            raise

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call `watcher` on the running loop soon after another process has changed the file."""
        self._foreign_commits.add(watcher)
        self._inbox.put([])  # wakes the thread, which does not poll the file while there are no watchers

    def unwatch(self, watcher: Callable[[], None]) -> None:
        """Stop calling this watcher."""
        self._foreign_commits.remove(watcher)

    def hurry(self) -> None:
        """Prepare for the end of this process: after `HURRIED` seconds, a busy file raises `BrokerUnavailable`."""
        self._patient_until = time.monotonic() + HURRIED

    async def close(self) -> None:
        """Do the submitted work, and close the connection; a second call does nothing."""
        self._hand_over()
        self._closing = True
        if self._thread is None:
            return
        # A future, and not a join in another thread: at the interpreter's exit no thread can be started.
        closed = asyncio.get_running_loop().create_future()
        with self._lock:
            self._closers.append(closed)
            if self._ended:
                closed.set_result(None)
        self._inbox.put([])
        await closed

    def _hand_over(self) -> None:
        if not self._submitted:
            return
        submitted, self._submitted = self._submitted, []
        try:
            if self._thread is None:
                self._thread = self._started()
        except RuntimeError as error:
            unavailable = BrokerUnavailable(f"{self.name}: this process cannot start a thread for it: {error}")
            resolve([(operation, None, unavailable) for operation in submitted])
        else:
            self._inbox.put(submitted)

    def _started(self) -> threading.Thread:
        thread = threading.Thread(target=self._serve, name=f"sqlite {self.path.name}", daemon=True)
        thread.start()
        return thread

    # All methods below run on the database thread.

    def _serve(self) -> None:
        mark_this_thread()
        while True:
            operations = self._next(LOOK_SECONDS if self._foreign_commits.watched else None)
            with self._gate:
                self._serve_these(operations)
            if self._closing and self._inbox.empty():
                self._end()
                return

    def _serve_these(self, operations: list[Operation[Any]]) -> None:
        self._look_around()
        self._transact([operation for operation in operations if operation.writes], WRITING)
        for operation in operations:
            if not operation.writes:  # on its own snapshot, which does not block writers
                self._transact([operation], READING)

    def _end(self) -> None:
        with self._gate:
            self._disconnect()
        with self._lock:
            self._ended = True
        for closed in self._closers:
            _call(closed.get_loop(), _set_done, closed)

    def _next(self, timeout: float | None) -> list[Operation[Any]]:
        operations: list[Operation[Any]] = []
        with suppress(queue.Empty):
            operations += self._inbox.get(timeout=timeout)
            while True:
                operations += self._inbox.get_nowait()
        return operations

    def _transact(self, operations: list[Operation[Any]], begin: str) -> None:
        """Do all operations in one transaction; if that fails, each in a transaction of its own."""
        if not self._begin(operations, begin):
            return
        operations = [operation for operation in operations if operation.begin()]
        connection = self._connected()
        results: list[Result] = []
        try:
            results.extend((operation, *attempt(operation, connection)) for operation in operations)
            connection.execute("COMMIT")
        except Exception as error:  # also a defect: the futures must get it, and the thread must go on
            self._disconnect()
            if is_busy(error) and self._waited():
                self._inbox.put(operations)  # another process uses the file: try again
            elif len(operations) == 1:
                self._resolve([(operations[0], None, self._translated(error))])
            else:
                for operation in operations:
                    self._transact([operation], begin)
            return
        self.wakeups.wake_others({operation.wakes for operation, _, error in results if error is None})
        self._resolve(results)

    def _begin(self, operations: list[Operation[Any]], begin: str) -> bool:
        """Open a transaction, and wait while the file is busy. Return False if there is nothing left to do in it."""
        while any(not operation.withdrawn for operation in operations):
            try:
                self._begin_transaction(begin, durable=any(operation.durable for operation in operations))
                self.busy, self._wait = False, BUSY_SECONDS
            except (sqlite3.Error, OSError, BridgeError) as error:
                if is_busy(error) and self._waited():
                    self._gate.give_way()
                    continue
                self._disconnect()
                failure = self._translated(error)
                self._resolve((operation, None, failure) for operation in operations)
                return False
            return True
        return False

    def _waited(self) -> bool:
        """Wait a moment for a busy file. Return False at once if this process waits no longer."""
        if self._closing or time.monotonic() >= self._patient_until:
            return False
        self.busy = True
        time.sleep(self._wait)
        self._wait = min(BUSY_GROWTH * self._wait, BUSY_AT_MOST)
        return True

    def _look_around(self) -> None:
        if self._connection is None:
            return
        try:
            self._foreign_commits.look(self._connection, time.monotonic())
        except sqlite3.Error:
            self._disconnect()  # the next operation connects again, and raises the error

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connect(self.path, self._tables, self._limit, creates=self._creates, group=self._group)
            found = file_at(self.path)
            if self._opened not in (None, found):
                self.replaced += 1
            self._opened = found
            self._synced = True
        return self._connection

    def _begin_transaction(self, begin: str, *, durable: bool) -> None:
        connection = self._connected()
        if self._synced is not durable and begin == WRITING:
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._synced = durable
        connection.execute(begin)
        self._check_in_place()

    def _check_in_place(self) -> None:
        """Raise `BrokerUnavailable` if the open file was removed or replaced: a write to it would be lost when the last
        process closes it."""
        if file_at(self.path) != self._opened:
            self.replaced += 1
            self._opened = None
            raise BrokerUnavailable(f"{self.name}: it was removed or replaced while it was open; opening it again")

    def _disconnect(self) -> None:
        """Close the connection, which rolls back an open transaction; the next operation opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._foreign_commits.forget()

    def _translated(self, error: Exception) -> Exception:
        if isinstance(error, OSError):  # from a file next to the database
            return BrokerUnavailable(f"{self.name}: {error}")
        return translated(error, self.path) if isinstance(error, sqlite3.Error) else error

    def _resolve(self, results: Iterable[Result]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[Result]] = {}
        for result in results:
            by_loop.setdefault(result[0].future.get_loop(), []).append(result)
        for loop, of_loop in by_loop.items():
            _call(loop, resolve, of_loop)


def _set_done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: object) -> None:
    with suppress(RuntimeError):  # the loop is closed, so no task waits for it
        loop.call_soon_threadsafe(function, *arguments)
