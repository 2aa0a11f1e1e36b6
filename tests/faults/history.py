"""The history of one ordeal: what each process knew, a JSON line each, in one file. Not a log, and not a judgement.

Every line is appended by one `write` to a file opened with O_APPEND, so that the lines of many processes never mix
and a process that is killed leaves whole lines. `at` is the machine's monotonic clock, which all processes share and
which no step of the wall clock moves.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

VARIABLE = "FAULTS_HISTORY"
"""The environment variable that tells a process where the history is."""

Record = Mapping[str, Any]
"""A line: `what` happened, `at` which second, and what else is known of it.

| what | who notes it | besides |
|---|---|---|
| `invoke` | a publisher, before `defer()` | key, pid, its `delay`, and whether it is `foreign`: no event of ours, \
so that every reading of it may give it another id |
| `ok`, `fail`, `unknown` | the publisher, after it | key, pid, and the error |
| `attempt` | the app, first thing in a listener | key, id, attempt, pid |
| `failure` | the app, last thing before it raises | key, id, attempt, pid |
| `effect` | the app, when the listener's work is done | key, id, attempt, pid |
| `dead`, `redriven`, `discarded` | who reads the ledger at the end | number, and the key of what died |
| `hurt` | who hurts | act, `repeats`, `copies`, `unseen` attempts and `losses` that it may cause, the pids \
that it killed or stopped, how long |
| `checked` | who looks into a broker's file | what it `said`: `ok`, or what is wrong |
| `drained` | who looks at the end | ready, held, waiting, spooled, unrouted, and the names of what was left over |
"""


class History:
    """A process's pen. One for each process; a forked one may go on with it."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    @classmethod
    def of_environment(cls) -> "History":
        """Return the history that the environment names."""
        return cls(Path(os.environ[VARIABLE]))

    def note(self, what: str, **known: Any) -> None:
        """Append a line, whole or not at all. Raise `OSError` where the disk does not take it."""
        line = json.dumps({"what": what, "at": time.monotonic(), **known}) + "\n"
        os.write(self._file, line.encode())


def read(path: Path) -> list[Record]:
    """Return the lines in the order of their time."""
    with path.open() as lines:
        return sorted((json.loads(line) for line in lines), key=lambda record: record["at"])


class _Appended:
    """The lines of a history that grows, each read once."""

    def __init__(self, path: Path, *, whence: int) -> None:
        self._file = path.open("rb")
        self._file.seek(0, whence)
        self._rest = b""

    def lines(self) -> list[bytes]:
        """Return those that have come since the last time."""
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        return lines

    def close(self) -> None:
        """Read no more."""
        self._file.close()


class Counting:
    """How many lines of each kind a history has, from its beginning on."""

    def __init__(self, path: Path) -> None:
        self._appended = _Appended(path, whence=os.SEEK_SET)
        self._counts: Counter[bytes] = Counter()

    def count(self, what: str) -> int:
        """Return how many there are now of this kind."""
        self._counts.update(line.split(b'"', 4)[3] for line in self._appended.lines())
        return self._counts[what.encode()]

    def close(self) -> None:
        """Count no more."""
        self._appended.close()


class Following:
    """The lines that are appended from now on, as they come."""

    def __init__(self, path: Path) -> None:
        self._appended = _Appended(path, whence=os.SEEK_END)

    def __enter__(self) -> "Following":
        return self

    def __exit__(self, *_: object) -> None:
        self._appended.close()

    def records(self) -> list[Record]:
        """Return those that have come since the last time."""
        return [json.loads(line) for line in self._appended.lines()]
