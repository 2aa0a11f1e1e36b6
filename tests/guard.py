"""Ends what a test started and left behind, however the test run itself ends. Not a supervisor: it restarts nothing.

Run as ``python guard.py DIRECTORY``. It waits until its standard input brings a byte or the end of file, which comes
by itself when the test process dies, by SIGKILL too. Then it kills every process that carries ``BRIDGE_TEST_DIRECTORY``
with this directory in its environment, and removes the directory. Going by the environment finds daemons as well,
such as Erlang's epmd, and cannot hit a stranger by a recycled pid. Linux only: it reads /proc.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

MARK = "BRIDGE_TEST_DIRECTORY"
REMOVE_SECONDS = 30.0


class Guard:
    """Watches over one directory and the processes that are started with `environment`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = {MARK: str(directory)}
        # -I -S: the guard needs nothing but the standard library, and so starts in some 20 ms. A session of its own:
        # Ctrl-C in the terminal must not reach it before its work is done.
        command = [sys.executable, "-I", "-S", __file__, str(directory)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, cwd="/", start_new_session=True)

    def clear(self) -> None:
        """Kill the processes, remove the directory, and return when both are gone. A second call does nothing."""
        if self._process.poll() is None:
            # A byte, not only the end of file: a forked child may still hold a copy of the pipe.
            self._process.communicate(b"x", timeout=REMOVE_SECONDS)


def marked_processes(directory: str) -> list[int]:
    """The pids of all living processes that carry `directory` in their environment."""
    mark = f"{MARK}={directory}".encode()
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and mark in _environ(entry)]


def _environ(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []  # it has ended meanwhile, or it is somebody else's


def _end(directory: str) -> None:
    while pids := marked_processes(directory):  # again, for what was forked while we looked
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    shutil.rmtree(directory)


if __name__ == "__main__":
    os.read(sys.stdin.fileno(), 1)
    _end(sys.argv[1])
