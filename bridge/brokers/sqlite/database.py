"""The database thread: runs what coroutines submit, all that is pending in one transaction (group commit).

An *operation* is in `operation.py`. Not to be used across a fork: before one, the connection is closed.
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

from bridge.brokers.forks import Gate
from bridge.brokers.sqlite.bells import Bells
from bridge.brokers.sqlite.connection import connect, file_at, is_busy, translated
from bridge.brokers.sqlite.operation import Operation, Result, T, Work, attempt, resolve
from bridge.brokers.sqlite.schema import Schema
from bridge.errors import BridgeError, BrokerUnavailable

HURRIED = 2.0
"""Seconds that others may still keep the file when this process is about to end."""

POLL = 0.05
"""Seconds between looks for what others committed without ringing."""


class Database:
    """The one connection of a process to the file, and its thread, which is started by the first operation."""

    def __init__(self, path: Path, schema: Schema, limit: int | None = None) -> None:
        """`limit` is in bytes: at them, the file is full."""
        self.path = path
        self._limit = limit
        self.name = f"SQLite database {path}"
        self.schema = schema
        self.bells = Bells(path)
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
        """How often another file was found in the place of the one that was open. Read on the database thread alone."""
        self._seen_version = 0
        self._watchers: dict[Callable[[], None], asyncio.AbstractEventLoop] = {}

    def submit(self, work: Work[T], *, writes: bool = True, rings: bool = False) -> Operation[T]:
        """Submit work, to be done in one transaction with all that is submitted until the thread is free; what only
        reads is done outside of it. `rings`: it may leave something for workers to take, and they are told."""
        if self._closing:
            raise BrokerUnavailable(f"{self.name}: closed here")
        operation = Operation(work, writes, rings, self._lock)
        if not self._submitted:
            asyncio.get_running_loop().call_soon(self._hand_over)
        self._submitted.append(operation)
        return operation

    async def run(self, work: Work[T], *, writes: bool = True, rings: bool = False) -> T:
        """Do the work and return its result. Raise what it raises, or `BrokerUnavailable`. Cancelled, it is withdrawn
        unless it has begun."""
        operation = self.submit(work, writes=writes, rings=rings)
        try:
            return await operation.future
        except asyncio.CancelledError:
            operation.withdraw()
            raise

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call this on the running loop soon after another process has changed the file."""
        self._watchers[watcher] = asyncio.get_running_loop()
        self._inbox.put([])  # wakes the thread, which waits without looking while nobody watches

    def unwatch(self, watcher: Callable[[], None]) -> None:
        """Call it no more."""
        self._watchers.pop(watcher, None)

    def hurry(self) -> None:
        """From soon on, wait for nobody who keeps the file: raise `BrokerUnavailable` instead. This process ends."""
        self._patient_until = time.monotonic() + HURRIED

    async def close(self) -> None:
        """Do what was submitted, and close the connection; twice is as good as once."""
        self._hand_over()
        self._closing = True
        if self._thread is None:
            return
        # Awaited by the loop's own means: at the interpreter's exit no other thread can be had to join this one.
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
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=f"sqlite {self.path.name}", daemon=True)
            self._thread.start()
        self._inbox.put(self._submitted)
        self._submitted = []

    # From here on, all runs on the database thread.

    def _serve(self) -> None:
        while True:
            operations = self._next(POLL if self._watchers else None)
            with self._gate:
                self._serve_these(operations)
            if self._closing and self._inbox.empty():
                self._end()
                return

    def _serve_these(self, operations: list[Operation[Any]]) -> None:
        self._look_around()
        self._transact([operation for operation in operations if operation.writes], "BEGIN IMMEDIATE")
        for operation in operations:
            if not operation.writes:  # on a snapshot of its own, which keeps nobody from writing
                self._transact([operation], "BEGIN")

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
        """Do all of them in one transaction; where that fails, each in one of its own."""
        if not self._begin(operations, begin):
            return
        operations = [operation for operation in operations if operation.begin()]
        connection = self._connected()
        results: list[Result] = []
        try:
            results.extend((operation, *attempt(operation, connection)) for operation in operations)
            connection.execute("COMMIT")
        except Exception as error:  # whatever it is, whoever waits is told, and the thread lives on
            self._disconnect()
            if is_busy(error) and self._patient():
                self._inbox.put(operations)  # others have the file for now: once more
            elif len(operations) == 1:
                self._resolve([(operations[0], None, self._translated(error))])
            else:
                for operation in operations:
                    self._transact([operation], begin)
            return
        if any(operation.rings and error is None for operation, _, error in results):
            self.bells.ring()
        self._resolve(results)

    def _begin(self, operations: list[Operation[Any]], begin: str) -> bool:
        """Open a transaction, however long others keep the file; False where there is nothing left to do in it."""
        while any(not operation.withdrawn for operation in operations):
            try:
                self._connected().execute(begin)
                self._check_in_place()
            except (sqlite3.Error, OSError, BridgeError) as error:
                if is_busy(error) and self._patient():
                    self._gate.give_way()
                    continue
                self._disconnect()
                failure = self._translated(error)
                self._resolve((operation, None, failure) for operation in operations)
                return False
            return True
        return False

    def _patient(self) -> bool:
        return not self._closing and time.monotonic() < self._patient_until

    def _look_around(self) -> None:
        """Tell the watchers if another process has committed since the last look."""
        if not self._watchers or self._connection is None:
            return
        try:
            version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error:
            self._disconnect()  # the next operation connects again, and says what is wrong
            return
        if version != self._seen_version:
            self._seen_version = version
            for watcher, loop in tuple(self._watchers.items()):
                _call(loop, watcher)

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connect(self.path, self.schema, self._limit)
            self._opened = file_at(self.path)
        return self._connection

    def _check_in_place(self) -> None:
        """Raise `BrokerUnavailable` where the open file was removed or replaced: what is written to it now is lost with
        the last process that has it open."""
        if file_at(self.path) != self._opened:
            self.replaced += 1
            raise BrokerUnavailable(f"{self.name}: it was removed or replaced while it was open; it is opened anew")

    def _disconnect(self) -> None:
        """Close the connection, which rolls back what is open; the next operation makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._seen_version = 0  # the next connection counts anew, and so the watchers look

    def _translated(self, error: Exception) -> Exception:
        if isinstance(error, OSError):  # of what is beside the file
            return BrokerUnavailable(f"{self.name}: {error}")
        return translated(error, self.path) if isinstance(error, sqlite3.Error) else error

    def _resolve(self, results: Iterable[Result]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[Result]] = {}
        for result in results:
            by_loop.setdefault(result[0].future.get_loop(), []).append(result)
        for loop, its_results in by_loop.items():
            _call(loop, resolve, its_results)


def _set_done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: object) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
        loop.call_soon_threadsafe(function, *arguments)
