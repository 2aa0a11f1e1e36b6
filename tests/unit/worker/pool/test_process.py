"""The CPU time and the state of another process."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.limits import PATIENCE
from worker.pool.process import cpu_seconds_of, is_runnable


def eventually(is_so: Callable[[], bool]) -> None:
    """Wait until this is so."""
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.005)


@contextmanager
def running(program: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python program, and kill it at the end."""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_process_that_computes() -> None:
    """It is runnable, whether it has a CPU or waits for one, and its CPU time grows."""
    with running("while True: pass") as process:
        eventually(lambda: cpu_seconds_of(process.pid) > 0.2)
        eventually(lambda: is_runnable(process.pid))
        before = cpu_seconds_of(process.pid)
        eventually(lambda: cpu_seconds_of(process.pid) > before + 0.1)


def test_a_process_that_waits() -> None:
    """It is not runnable, though it has used CPU before."""
    with running("input()") as process:
        eventually(lambda: cpu_seconds_of(process.pid) > 0 and not is_runnable(process.pid))


def test_a_process_whose_name_is_not_utf_8() -> None:
    """Linux cuts a name to 15 bytes, also within a letter."""
    named = "import ctypes; ctypes.CDLL(None).prctl(15, bytes([0xc3]) * 15)"
    with running(f"{named}\nwhile True: pass") as process:
        eventually(lambda: b"\xc3" in Path(f"/proc/{process.pid}/stat").read_bytes())
        assert is_runnable(process.pid)


def test_a_process_that_is_gone() -> None:
    """There is nothing to see of it."""
    with running("") as process:
        process.wait()
    assert cpu_seconds_of(process.pid) == 0.0
    assert not is_runnable(process.pid)


def test_its_own_cpu_time_is_that_of_the_standard_library() -> None:
    """The clock of a process is that of clock_getcpuclockid(3)."""
    times = os.times()
    assert cpu_seconds_of(os.getpid()) > 0
    assert abs(cpu_seconds_of(os.getpid()) - times.user - times.system) < 0.5
