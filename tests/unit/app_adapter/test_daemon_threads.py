"""The executor of the publishing thread: its calls hold up no exit."""

import asyncio
import subprocess
import sys
import threading

import pytest

from app_adapter.daemon_threads import DaemonThreads
from tests.limits import PATIENCE

STUCK = """
import threading
from app_adapter.daemon_threads import DaemonThreads
begun = threading.Event()
DaemonThreads(begun.set).submit(threading.Event().wait)
begun.wait()
print("the end")
"""


def test_a_call_that_is_stuck_holds_up_no_exit() -> None:
    """A process ends while a call runs, for example a lookup of a host name that gets no answer."""
    ended = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=PATIENCE, check=False)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "the end\n", "")


async def test_a_loop_runs_its_calls_there() -> None:
    """An event loop gets results and exceptions of calls, each made on a daemon thread after `begin`."""
    begun: list[threading.Thread] = []
    asyncio.get_running_loop().set_default_executor(DaemonThreads(lambda: begun.append(threading.current_thread())))

    assert await asyncio.to_thread(threading.current_thread) in begun
    with pytest.raises(ZeroDivisionError):
        await asyncio.to_thread(lambda: 1 / 0)
    assert all(thread.daemon for thread in begun)
