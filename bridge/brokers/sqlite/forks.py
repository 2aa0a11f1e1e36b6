"""Keeps forks and SQLite apart: while a process forks, none of its databases is open.

What a process has locked, SQLite knows from the process's own memory. A child that is forked while a connection is open
takes its parent's locks for its own: what it commits can be lost with the log that its parent's last close removes, and
a lock that another thread had in that moment is never free in the child.
"""

import os
import threading
import weakref
from collections.abc import Callable
from types import TracebackType


class Gate:
    """One database's: entered while its connection is used. `disconnect` is called before a fork, when nobody is in."""

    def __init__(self, disconnect: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._disconnect = weakref.WeakMethod(disconnect)
        _forks.know(self)

    def __enter__(self) -> None:
        _forks.enter(self._lock)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._lock.release()

    def give_way(self) -> None:
        """Let a fork come that waits for us to leave."""
        self._lock.release()
        _forks.enter(self._lock)

    def close(self) -> None:
        """Disconnect, and let nobody in."""
        self._lock.acquire()
        if (disconnect := self._disconnect()) is not None:
            disconnect()

    def open(self) -> None:
        """Let them in again."""
        self._lock.release()


class Forks:
    """This process's forks, which `os` tells of."""

    def __init__(self) -> None:
        self._turnstile = threading.Lock()  # who wants to fork is not kept waiting by who enters again and again
        self._gates: weakref.WeakSet[Gate] = weakref.WeakSet()
        self._closed: list[Gate] = []
        os.register_at_fork(before=self._close, after_in_parent=self._open, after_in_child=self._open)

    def know(self, gate: Gate) -> None:
        """Close this gate too, from now on."""
        with self._turnstile:
            self._gates.add(gate)

    def enter(self, lock: threading.Lock) -> None:
        """Take a gate's lock, after a fork that is about to come."""
        with self._turnstile:
            lock.acquire()

    def _close(self) -> None:
        self._turnstile.acquire()
        for gate in list(self._gates):
            gate.close()
            self._closed.append(gate)

    def _open(self) -> None:
        while self._closed:
            self._closed.pop().open()
        self._turnstile.release()


_forks = Forks()
