"""What makes a process a good child of the pool: it dies with its parent, says how its boot went, prints line by line,
and shows its stacks when it is asked to. What it serves is in `app_server`."""

import ctypes
import faulthandler
import io
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from app_adapter.booting import BootError
from bridge.attempt import cut_in_the_middle
from bridge.errors import SettingsError

MESSAGE_KEPT = 16_000
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Wires:
    """The descriptors that a child inherits: the socket that it serves, where it reports, where its stacks go."""

    serve: int
    control: int
    stacks: int | None


def tie_to_parent() -> None:
    """Let this process die when its parent does, on Linux; elsewhere the end of the stream alone ends it."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the parent has gone")


def prepare(stacks: int | None) -> None:
    """Print line by line, so that what was printed is told before the reply is; at SIGUSR2 write the stacks of all
    threads there, whatever the process is doing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    if stacks is not None:
        os.set_inheritable(stacks, False)
        faulthandler.register(signal.SIGUSR2, file=stacks, all_threads=True)


def keep_from_descendants(sock: socket.socket) -> None:
    """Close the socket in whatever the app starts or forks: while a copy is open, the worker cannot see our end."""
    owner = os.getpid()
    sock.set_inheritable(False)

    def let_go() -> None:
        if os.getpid() != owner and sock.fileno() >= 0:
            os.close(sock.detach())

    os.register_at_fork(after_in_child=let_go)


@contextmanager
def reporting(control: int) -> Iterator[Callable[[Mapping[str, object]], None]]:
    """Yield how to say that the boot is over. Where it raises, say why on `control`, and go on behind the block."""
    os.set_inheritable(control, False)
    with os.fdopen(control, "w", encoding="utf-8") as channel:
        try:
            yield lambda ready: print(json.dumps({"ready": ready}), file=channel)
        except (Exception, SystemExit) as error:
            told = str(error) if isinstance(error, BootError | SettingsError) else traceback.format_exc()
            print(json.dumps({"failed": cut_in_the_middle(told, MESSAGE_KEPT)}), file=channel)
