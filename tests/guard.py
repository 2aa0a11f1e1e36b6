"""Ends the processes that a test has started and removes its files, even if the test process is killed.

Run as ``python guard.py DIRECTORY``. It waits until its standard input has a byte or the end of file; the kernel closes
the pipe when the test process dies, by SIGKILL too. Then it kills every process that has ``DIRECTORY_OF_TEST`` with
this directory in its environment, and removes the directory. The environment identifies daemons too, such as Erlang's
epmd, and a recycled pid cannot hit an unrelated process. Linux only: it reads /proc.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

MARK = "DIRECTORY_OF_TEST"
REMOVE_SECONDS = 120.0  # as tests/limits.py, which this program cannot import


class Guard:
    """Guards one directory, and the processes that are started with `environment`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = {MARK: str(directory)}
        # -I -S: the guard uses only the standard library, and so starts in some 20 ms. A session of its own, so that
        # Ctrl-C in the terminal does not end the guard before it has cleaned up.
        command = [sys.executable, "-I", "-S", __file__, str(directory)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, cwd="/", start_new_session=True)

    def clear(self) -> None:
        """Kill the processes, remove the directory, and return when both are gone. A second call does nothing."""
        if self._process.poll() is None:
            # A byte, not only the end of file: a forked child may still hold a copy of the pipe.
            self._process.communicate(b"x", timeout=REMOVE_SECONDS)


def marked_processes(directory: str) -> list[int]:
    """Return the pids of all processes that have `directory` in their environment."""
    mark = f"{MARK}={directory}".encode()
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and mark in _environ(entry)]


def _environ(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []  # the process has ended meanwhile, or belongs to another user


def _end(directory: str) -> None:
    while pids := marked_processes(directory):  # repeated, since a process may have forked meanwhile
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    shutil.rmtree(directory)


if __name__ == "__main__":
    os.read(sys.stdin.fileno(), 1)
    _end(sys.argv[1])
