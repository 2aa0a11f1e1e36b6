"""The nursery: a process that has imported the app, and forks children from itself. It serves nothing itself.

It has one thread and waits for two things only: an order, which is a datagram that carries what the child inherits,
and the end of a child. It answers with one JSON object a datagram, and ends when no orders can come and its last child
has ended.
"""

import gc
import json
import os
import selectors
import signal
import socket
import sys
import threading
from contextlib import suppress

from app_adapter.child_process import Wires, tie_to_parent

INHERITED = 4


def nurse(descriptor: int) -> Wires | None:
    """Fork a child for every order. Return in each child what it has inherited, and None in the nursery itself, when
    its work is over."""
    orders = socket.socket(fileno=descriptor)
    orders.set_inheritable(False)
    _warn_of_what_a_fork_loses()
    gc.collect()
    gc.freeze()  # what is never examined again is never written to, and stays shared
    woken, waking = socket.socketpair()
    woken.setblocking(False)
    waking.setblocking(False)
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
                    _tell_ends(orders, children)
                    continue
                message, descriptors, _, _ = socket.recv_fds(orders, 64, INHERITED)
                if not message:
                    selector.unregister(orders)
                    open_to_orders = False
                elif _fork(orders, children):
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    return _child(descriptors)
                for inherited in descriptors:
                    os.close(inherited)
    return None


def _fork(orders: socket.socket, children: set[int]) -> bool:
    """Fork, and tell who it is. Return True in the child."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        pid = os.fork()
    except OSError as error:
        _say(orders, {"failed": str(error)})
        return False
    if pid:
        children.add(pid)
        _say(orders, {"forked": pid})
    return pid == 0


def _child(descriptors: list[int]) -> Wires:
    os.setsid()
    tie_to_parent()
    serve, control, output, stacks = descriptors
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    return Wires(serve, control, stacks)


def _tell_ends(orders: socket.socket, children: set[int]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        if pid in children:  # else something that the app has started when it was imported
            children.remove(pid)
            _say(orders, {"exited": pid, "status": os.waitstatus_to_exitcode(status)})


def _say(orders: socket.socket, message: dict[str, object]) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # the worker has ended, and we end with it
        orders.send(json.dumps(message).encode())


def _warn_of_what_a_fork_loses() -> None:
    others = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if others:
        print(
            f"warning: the app has threads after its import ({', '.join(others)}); with --preload no child has them. "
            "Start them in an @events.on_warmup function",
            file=sys.stderr,
            flush=True,
        )
