"""Delays forks while a thread does something that does not survive a fork: a fork waits until no thread is in a gate.

SQLite keeps a process's locks in memory. A child that is forked while a connection is open believes that it has its
parent's locks: its commits can be lost with the journal that its parent's last close removes. And a module that one
thread imports while another thread forks can never be imported in the child, because the import lock belongs to a
thread that the child does not have. Fork hooks (`os.register_at_fork`) are global to a process, so this module has one
global object.
"""

import os
import threading
import weakref
from collections.abc import Callable
from types import TracebackType


class Gate:
    """A block during which this process cannot fork. Gates are not nested. `prepare`, a method, is called before each
    fork, when no thread is in the gate."""

    def __init__(self, prepare: Callable[[], None] | None = None) -> None:
        self._lock = threading.Lock()
        self._prepare = None if prepare is None else weakref.WeakMethod(prepare)
        _forks.know(self)

    def __enter__(self) -> None:
        _forks.enter(self._lock)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._lock.release()

    def give_way(self) -> None:
        """Leave the gate and enter it again, so that a waiting fork can happen."""
        self._lock.release()
        _forks.enter(self._lock)

    def close(self) -> None:
        """Wait until no thread is in the gate, keep threads out, and call `prepare`."""
        self._lock.acquire()
        prepare = self._prepare and self._prepare()
        if prepare is not None:
            prepare()

    def open(self) -> None:
        """Let threads enter again."""
        self._lock.release()


class Forks:
    """The fork hooks of this process, which close and open all gates."""

    def __init__(self) -> None:
        self._turnstile = threading.Lock()  # else a thread that enters again and again could delay a fork without limit
        self._books = threading.Lock()
        self._gates: weakref.WeakSet[Gate] = weakref.WeakSet()
        self._closed: list[Gate] = []
        os.register_at_fork(before=self._close, after_in_parent=self._open, after_in_child=self._open_in_child)

    def know(self, gate: Gate) -> None:
        """Add a gate, which is closed before each fork from now on."""
        with self._books:
            self._gates.add(gate)

    def enter(self, lock: threading.Lock) -> None:
        """Take a gate's lock; wait for a fork that is in progress."""
        with self._turnstile:
            lock.acquire()

    def _close(self) -> None:
        self._turnstile.acquire()
        with self._books:  # released before closing them: a thread in a gate may create another gate
            gates = list(self._gates)
        for gate in gates:
            gate.close()
            self._closed.append(gate)

    def _open(self) -> None:
        while self._closed:
            self._closed.pop().open()
        self._turnstile.release()

    def _open_in_child(self) -> None:
        self._books = threading.Lock()  # the thread that held the old one may not exist in the child
        self._open()


_forks = Forks()
