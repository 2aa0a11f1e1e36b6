"""The processes of the demo, each with its own log file. All of them end with the demo."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

STOP_SECONDS = 10.0
_LOG_LINES = 20


class DemoFailed(Exception):
    """The demo cannot go on. The message has the reason, and the end of the log if a process has ended."""


class Processes:
    """Starts processes, and stops them in the opposite order.

    Each process has its own session, so that Ctrl-C reaches the demo only, which then stops them in order.
    """

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs = logs
        self._environment = dict(environment)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str], directory: Path, inherit: Sequence[int] = ()) -> None:
        """Start a process in a directory. Its output goes to `<name>.log`. It inherits the file descriptors
        `inherit`."""
        with self._log(name).open("wb") as log:
            self._running[name] = subprocess.Popen(
                command,
                cwd=directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=inherit,
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise `DemoFailed` if a process has ended."""
        for name, process in self._running.items():
            if process.poll() is not None:
                last = self._log(name).read_text(errors="replace").splitlines()[-_LOG_LINES:]
                reason = f"{name} ended with exit code {process.returncode}; its log ends with:"
                raise DemoFailed("\n".join([reason, *last]))

    def stop(self, name: str) -> int:
        """Ask a process to end, wait for it, and return its exit code. Kill it and its children after
        `STOP_SECONDS`."""
        process = self._running.pop(name)
        process.terminate()
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return process.wait()

    def stop_all(self) -> None:
        """Stop all running processes. A second call does nothing."""
        for name in reversed(list(self._running)):
            self.stop(name)

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"
