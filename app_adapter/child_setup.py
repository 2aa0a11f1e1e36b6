"""The setup of every child of the pool: it dies with its parent, reports its boot, and writes its stacks on a signal.

`app_server` and `front_child` serve its requests.
"""

import ctypes
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from app_adapter.booting import BootError
from app_adapter.descendants import dump_stacks, end_if_copy, kept_from_descendants
from bridge.attempt import cut_in_the_middle
from bridge.child_protocol import STACKS_SIGNAL, CannotBoot, Ready, write_report
from bridge.errors import SettingsError

MESSAGE_KEPT = 16_000
_PR_SET_PDEATHSIG = 1


def tie_to_parent() -> None:
    """Let the kernel end this process when its parent ends. On Linux only; elsewhere the end of the stream ends it."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the parent has gone")


def prepare(stacks: int) -> None:
    """Print line by line, so that the pool has the lines before the reply. At `STACKS_SIGNAL`, write the stacks of all
    threads to the descriptor `stacks`, even if the process is blocked."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with suppress(ValueError):  # an app that was imported already has closed it
                stream.reconfigure(line_buffering=True)
    dump_stacks(signal.Signals[STACKS_SIGNAL], stacks)


@contextmanager
def reporting(control: int) -> Iterator[Callable[[Ready], None]]:
    """Yield a function that reports the end of the boot on `control`. If the block raises, report the error and
    suppress it; the caller goes on after the block. A copy that the app has forked in the block ends there."""
    owner = os.getpid()
    with kept_from_descendants(control), os.fdopen(control, "w", encoding="utf-8") as channel:
        try:
            yield lambda ready: print(write_report(ready), end="", file=channel)
            end_if_copy(owner)
        except (Exception, SystemExit) as error:
            end_if_copy(owner, error)
            why = str(error) if isinstance(error, BootError | SettingsError) else traceback.format_exc()
            print(write_report(CannotBoot(cut_in_the_middle(why, MESSAGE_KEPT))), end="", file=channel)
