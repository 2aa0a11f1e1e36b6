"""The history of one ordeal: a file of JSON lines, in which every process notes what it did and what it received.

A line is appended by a single `write` to a file opened with O_APPEND: lines of different processes never mix, and a
process that is killed leaves only whole lines. `at` is the machine's monotonic clock, which all processes share and
which does not follow changes of the wall clock.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

VARIABLE = "FAULTS_HISTORY"
"""The environment variable with the path of the history."""

Record = Mapping[str, Any]
"""A line: `what` happened, `at` which second, and further fields.

| what | noted by | further fields |
|---|---|---|
| `invoke` | a publisher, before `defer()` | key, pid, `delay`; `foreign` for a message that is not our event: it \
gets a new id each time it is read; `ordered`, the name of the event's ordered queue; `priority`, if its share is \
judged; `expires`, the second at which the event expires; `id`, if an ordeal defers the event itself |
| `ok`, `fail`, `unknown` | the publisher, after `defer()` | key, pid, error |
| `attempt` | the app, when a listener begins | key, id, attempt, pid |
| `failure` | the app, before the listener raises | key, id, attempt, pid |
| `effect` | the app, when the listener's work is done | key, id, attempt, pid |
| `schedule` | an ordeal, before it configures a schedule | key, and `every`, the seconds between two moments |
| `moment` | the app, when the event of a schedule begins | key, id, pid, `moment` |
| `ask` | a caller, before `call()` | key, pid, `timeout` in seconds |
| `told` | the caller, after `call()` | key, pid, `end`: `answered` with the `answer`, or the type of the error |
| `called` | the app, when a listener begins for a call | key, pid |
| `replied` | the app, when that listener has ended | key, pid |
| `dead`, `redriven`, `discarded` | the drain, from the ledger | number of the letter; for `dead` also key and reason |
| `cancelled` | an ordeal, after `bridge-events cancel` | key |
| `paused` | a fault, after bridge-queues has paused the only queue | |
| `resumed` | a fault, before bridge-queues resumes it | |
| `hurt` | a fault | act, the `repeats`, `copies`, `unseen` attempts and `losses` that it may cause, the pids that it \
killed or stopped, and for how long |
| `starved` | a publisher (`pulse`) | pid, and the seconds for which it had no CPU |
| `checked` | a fault that inspects the broker's file | `said`: `ok`, or the error |
| `stored` | the drain, from the app's database | key, whether its order is `committed`, and the count of its \
`effects` by listener |
| `drained` | the drain | ready, held, waiting, unsettled, spooled, outbox, unrouted, `where` by queue, and the \
processes and files left over |
"""


class History:
    """Appends lines to the history. Each process has one; a forked child may use the one that it inherits."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    @classmethod
    def of_environment(cls) -> "History":
        """Return the history that the environment names."""
        return cls(Path(os.environ[VARIABLE]))

    def note(self, what: str, **known: Any) -> None:
        """Append a line, whole or not at all. Raise `OSError` if it cannot be written."""
        line = json.dumps({"what": what, "at": time.monotonic(), **known}) + "\n"
        os.write(self._file, line.encode())


def read(path: Path) -> list[Record]:
    """Return the lines, sorted by time."""
    with path.open() as lines:
        return sorted((json.loads(line) for line in lines), key=lambda record: record["at"])


class _Appended:
    """Reads the lines that are appended to a history, each line once."""

    def __init__(self, path: Path, *, whence: int) -> None:
        self._file = path.open("rb")
        self._file.seek(0, whence)
        self._incomplete = b""

    def lines(self) -> list[bytes]:
        """Return the lines that were appended since the last call."""
        *lines, self._incomplete = (self._incomplete + self._file.read()).split(b"\n")
        return lines

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Counting:
    """Counts the lines of each kind in a history, from its beginning."""

    def __init__(self, path: Path) -> None:
        self._appended = _Appended(path, whence=os.SEEK_SET)
        self._counts: Counter[bytes] = Counter()

    def count(self, what: str) -> int:
        """Return the current number of lines of this kind."""
        self._counts.update(line.split(b'"', 4)[3] for line in self._appended.lines())
        return self._counts[what.encode()]

    def close(self) -> None:
        """Close the file."""
        self._appended.close()


class Following:
    """Reads the lines that are appended to a history from now on."""

    def __init__(self, path: Path) -> None:
        self._appended = _Appended(path, whence=os.SEEK_END)

    def __enter__(self) -> "Following":
        return self

    def __exit__(self, *_: object) -> None:
        self._appended.close()

    def records(self) -> list[Record]:
        """Return the lines that were appended since the last call."""
        return [json.loads(line) for line in self._appended.lines()]
