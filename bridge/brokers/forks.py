"""Keeps forks away from what does not survive them: a process that wants to fork waits until nobody is within a gate.

What a process has locked, SQLite knows from the process's own memory. A child that is forked while a connection is open
takes its parent's locks for its own: what it commits can be lost with the log that its parent's last close removes. And
what one thread imports while another forks can never be imported in the child: the lock stays with a thread that is not
there. The hooks of `os.register_at_fork` are a process's own, and so is this file's one object.
"""

import os
import threading
import weakref
from collections.abc import Callable
from types import TracebackType


class Gate:
    """Entered for as long as no fork may come; never one within another. `prepare`, a method, is called before a fork,
    when nobody is in."""

    def __init__(self, prepare: Callable[[], None] | None = None) -> None:
        self._lock = threading.Lock()
        self._prepare = None if prepare is None else weakref.WeakMethod(prepare)
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
        """Wait until nobody is in, let nobody in any more, and prepare."""
        self._lock.acquire()
        prepare = self._prepare and self._prepare()
        if prepare is not None:
            prepare()

    def open(self) -> None:
        """Let them in again."""
        self._lock.release()


class Forks:
    """This process's forks, which `os` tells of."""

    def __init__(self) -> None:
        self._turnstile = threading.Lock()  # who wants to fork is not kept waiting by who enters again and again
        self._books = threading.Lock()
        self._gates: weakref.WeakSet[Gate] = weakref.WeakSet()
        self._closed: list[Gate] = []
        os.register_at_fork(before=self._close, after_in_parent=self._open, after_in_child=self._open_in_child)

    def know(self, gate: Gate) -> None:
        """Close this gate too, from now on."""
        with self._books:
            self._gates.add(gate)

    def enter(self, lock: threading.Lock) -> None:
        """Take a gate's lock, after a fork that is about to come."""
        with self._turnstile:
            lock.acquire()

    def _close(self) -> None:
        self._turnstile.acquire()
        with self._books:  # not for longer: who is within a gate may make another
            gates = list(self._gates)
        for gate in gates:
            gate.close()
            self._closed.append(gate)

    def _open(self) -> None:
        while self._closed:
            self._closed.pop().open()
        self._turnstile.release()

    def _open_in_child(self) -> None:
        self._books = threading.Lock()  # who had it may not be here
        self._open()


_forks = Forks()
