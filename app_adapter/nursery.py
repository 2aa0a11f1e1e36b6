"""The nursery: a process that has imported the app and forks children from itself. It serves no requests.

It has one thread, which waits for orders to fork and for the ends of its children; `bridge.child_protocol` has the
datagrams. It ends when the socket of its orders is closed and its last child has ended. `worker/pool/nursery.py` is the
pool's side.
"""

import gc
import os
import selectors
import signal
import socket
import threading
from contextlib import suppress

from app_adapter.child_setup import tie_to_parent
from app_adapter.descendants import keep_from_descendants
from app_adapter.plain_sockets import plain_socket
from app_adapter.standard_streams import STDERR, STDOUT, flush_output, say
from bridge.child_protocol import FORK, MAX_ORDER, CannotFork, Exited, Forked, Inherited, NurseryAnswer, write_answer


def nurse(descriptor: int) -> Inherited | None:
    """Fork a child for every order. In each child, return its descriptors. In the nursery, return None at the end."""
    orders = plain_socket(descriptor)
    keep_from_descendants(orders)
    _warn_of_threads()
    gc.collect()
    gc.freeze()  # the collector writes to no object that it does not examine, so their memory pages stay shared
    woken, waking = (plain_socket(end.detach()) for end in socket.socketpair())
    for end in (woken, waking):
        end.setblocking(False)
        keep_from_descendants(end)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
    children: set[int] = set()
    with orders, woken, waking, selectors.DefaultSelector() as selector:
        selector.register(orders, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        open_to_orders = True
        while open_to_orders or children:
            for key, _ in selector.select():
                if key.fileobj is woken:
                    with suppress(BlockingIOError):
                        woken.recv(4096)
                    _answer_ends(orders, children)
                    continue
                order, descriptors, _, _ = socket.recv_fds(orders, MAX_ORDER, len(Inherited._fields))
                if not order:
                    selector.unregister(orders)
                    open_to_orders = False
                elif order != FORK or len(descriptors) != len(Inherited._fields):
                    _answer(orders, CannotFork(f"expected the order {FORK!r} with {Inherited._fields}"))
                elif _fork(orders, children):
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    return _child(Inherited(*descriptors))
                for inherited in descriptors:
                    os.close(inherited)
    return None


def _fork(orders: socket.socket, children: set[int]) -> bool:
    """Fork, and answer with the process id. Return True in the child."""
    flush_output()
    try:
        pid = os.fork()
    except OSError as error:
        _answer(orders, CannotFork(str(error)))
        return False
    if pid:
        children.add(pid)
        _answer(orders, Forked(pid))
    return pid == 0


def _child(inherited: Inherited) -> Inherited:
    os.setsid()
    tie_to_parent()
    os.dup2(inherited.output, STDOUT)
    os.dup2(inherited.output, STDERR)
    os.close(inherited.output)
    return inherited


def _answer_ends(orders: socket.socket, children: set[int]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        if pid in children:  # another process may have been started by the app's import
            children.remove(pid)
            _answer(orders, Exited(pid, os.waitstatus_to_exitcode(status)))


def _answer(orders: socket.socket, answer: NurseryAnswer) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # the pool has ended, so the kernel ends this process too
        orders.send(write_answer(answer))


def _warn_of_threads() -> None:
    others = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if others:
        say(
            f"WARNING: the app has threads after its import ({', '.join(others)}); with --preload no child has them. "
            "Start them in an @events.on_warmup function\n"
        )
