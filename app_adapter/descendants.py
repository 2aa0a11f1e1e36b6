"""The sockets, pipes and signal handlers of this process that must never reach the processes which the app forks or
starts. A copy of a socket would hide from the pool that this process has ended, or would answer its client. A copy of a
handler would keep `multiprocessing` from ending its processes.

The kernel closes these descriptors in each program that is started. A hook closes them in each forked copy, and gives
the signals their usual effect there.
"""

import faulthandler
import os
import signal
import socket
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import get_ident
from weakref import WeakSet

from app_adapter.standard_streams import flush_output, say


class _Own:
    """The sockets, pipes and signal handlers of one process that its descendants do not inherit."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._masks: dict[int, set[int]] = {}
        self._begin()
        os.register_at_fork(before=self._block, after_in_parent=self._unblock, after_in_child=self._let_go)

    def _begin(self) -> None:
        self.sockets: WeakSet[socket.socket] = WeakSet()
        self.descriptors: set[int] = set()
        self.handlers: dict[signal.Signals, Callable[..., None]] = {}
        self.dumps_on: signal.Signals | None = None

    def _let_go(self) -> None:
        if os.getpid() != self._pid:  # uvloop calls the hooks in processes that have not forked
            self._pid = os.getpid()
            self._close_all()
        self._unblock()

    def _block(self) -> None:
        """Hold signals back while a process is forked: Python drops those that reach the copy before its hooks."""
        self._masks[get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, self.handlers.keys())

    def _unblock(self) -> None:
        if (mask := self._masks.pop(get_ident(), None)) is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _close_all(self) -> None:
        for sock in self.sockets:
            if sock.fileno() >= 0:
                self.descriptors.add(sock.detach())
        if self.dumps_on is not None:
            faulthandler.unregister(self.dumps_on)
        for descriptor in self.descriptors:
            with suppress(OSError):  # the app has closed it
                os.close(descriptor)
        for number, handler in self.handlers.items():
            if signal.getsignal(number) is handler:
                signal.signal(number, _usual(number))
        self._begin()


_own = _Own()


def keep_from_descendants(sock: socket.socket) -> None:
    """Close the socket in every process that the app starts or forks."""
    sock.set_inheritable(False)
    _own.sockets.add(sock)


@contextmanager
def kept_from_descendants(descriptor: int) -> Iterator[None]:
    """Close the descriptor in every process that the app starts or forks within this context."""
    os.set_inheritable(descriptor, False)
    _own.descriptors.add(descriptor)
    try:
        yield
    finally:
        _own.descriptors.discard(descriptor)


def own_copy(descriptor: int) -> int:
    """Return a copy of the descriptor that no process has which the app starts or forks."""
    copy = os.dup(descriptor)
    _own.descriptors.add(copy)
    return copy


def handle(number: signal.Signals, function: Callable[[], None]) -> None:
    """Call the function at this signal, in this process alone."""
    owner = os.getpid()

    def handler(*_: object) -> None:
        if os.getpid() == owner:
            function()
        else:  # the process was forked by code that calls no hooks, or the signal came before the hook
            signal.signal(number, _usual(number))
            signal.raise_signal(number)

    signal.signal(number, handler)
    _own.handlers[number] = handler


def dump_stacks(number: signal.Signals, descriptor: int) -> None:
    """At this signal, write the stacks of all threads to the descriptor, even if the process is blocked."""
    os.set_inheritable(descriptor, False)
    faulthandler.register(number, file=descriptor, all_threads=True)
    _own.descriptors.add(descriptor)
    _own.dumps_on = number


def end_if_copy(owner: int, error: BaseException | None = None) -> None:
    """End this process if it is not `owner`, but a copy that the app has forked and that has returned from the app. Its
    `error` is printed; SystemExit gives the exit code."""
    if os.getpid() == owner:
        return
    if error is not None and not isinstance(error, SystemExit):
        say("".join(traceback.format_exception(error)))
    flush_output()
    code = error.code if isinstance(error, SystemExit) else error is not None
    os._exit(code if isinstance(code, int) else bool(code))


def _usual(number: signal.Signals) -> Callable[..., None] | signal.Handlers:
    return signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL
