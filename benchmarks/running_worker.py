"""A contender's running worker, whose progress is the number of records that its handlers write."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks import records

STALLED_SECONDS = 30.0
STOP_SECONDS = 20.0


class Stalled(Exception):
    """A worker ended, or handled no event for `STALLED_SECONDS`. The message has the end of its log."""


class RunningWorker:
    """A context manager that starts the worker on entry, and ends it with all its processes on exit."""

    def __init__(self, command: Sequence[str], file: Path, environment: Mapping[str, str] | None = None) -> None:
        """`file` has the records. `environment` is in addition to that of this process."""
        program, *arguments = command
        self._command = [str(Path(sys.executable).with_name(program)), *arguments]
        self._environment = {**os.environ, **(environment or {})}
        self._log = file.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None
        self.records = file

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=self._environment,
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        process = self._running
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    @property
    def pid(self) -> int:
        """The pid of the process that was started; the others are its children."""
        return self._running.pid

    def handled(self, count: int) -> int:
        """Wait until at least `count` events were handled; return their number. Raise `Stalled`."""
        last_count, since = 0, time.monotonic()
        while (now := records.count(self.records)) < count:
            if now > last_count:
                last_count, since = now, time.monotonic()
            if time.monotonic() - since > STALLED_SECONDS or self._running.poll() is not None:
                last = self._log.read_text(errors="replace")[-3000:]
                raise Stalled(f"{now:,} of {count:,} events handled; the worker's log ends:\n{last}")
            time.sleep(0.01)
        return now

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the worker was not started")
        return self._process
