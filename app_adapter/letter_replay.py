"""Replays one dead letter in the foreground, in this process: `python -m app_adapter.letter_replay APP FILE [--pdb]`.

`bridge-dlq replay` starts it. Nothing is published: the events that listeners defer meanwhile are recorded and printed.
The app's own effects, on its database for example, are real.
"""

import json
import pdb
import sys
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from flask import got_request_exception

from app_adapter.app_state import AppState
from app_adapter.booting import BootError, load
from app_adapter.testing import Recording
from bridge.console.exit_codes import ExitCode
from bridge.console.printable import printable
from bridge.event import parse_time
from bridge.outcome import Outcome, Succeeded


def main(target: str, file: str, *options: str) -> int:
    """Load the app, run the event of the file, and print what it came to; return the exit code."""
    letter = json.loads(Path(file).read_bytes())
    try:
        state = load(target)
    except BootError as error:
        sys.stderr.write(f"Error: {error}\n")
        return ExitCode.APP
    events: Any = state.events
    with events.testing() as recording, _Failures() as failures:
        (outcome,) = _replay(state, recording, letter)
    if failures.last is not None and "--pdb" in options:
        pdb.post_mortem(failures.last)
    return _report(outcome, recording)


class _Failures:
    """A context manager that keeps the traceback of the last exception which the app did not handle."""

    last: TracebackType | None = None

    def __enter__(self) -> "_Failures":
        got_request_exception.connect(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        got_request_exception.disconnect(self._note)

    def _note(self, _app: object, exception: BaseException, **_: Any) -> None:
        while isinstance(exception, BaseExceptionGroup):  # several listeners failed; the first one counts
            exception = exception.exceptions[0]
        self.last = exception.__traceback__


def _replay(state: AppState, recording: Recording, letter: Mapping[str, Any]) -> list[Outcome]:
    received = recording.received(
        state.app,
        letter["name"],
        b64decode(letter["data"]),
        content_type=letter["content_type"],
        id=letter["id"],
        source=letter["source"],
        time=parse_time(letter["time"]),
        queue=letter["queue"],
        finished=letter["finished"],
    )
    return received.replay(check=False)


def _report(outcome: Outcome, recording: Recording) -> int:
    for deferred in recording:
        _say(f"It deferred {deferred.name}, which is not published: {deferred.payload!r:.200}")
    if isinstance(outcome, Succeeded):
        _say("Delivered. Nothing was changed in the broker or in the ledger.")
        return ExitCode.DONE
    if outcome.error.traceback:
        sys.stderr.write(printable(outcome.error.traceback.rstrip(), lines=True) + "\n")
    _say(f"{type(outcome).__name__}: {outcome.error.type}: {outcome.error.message}")
    return ExitCode.INCOMPLETE


def _say(text: str) -> None:
    sys.stdout.write(printable(text) + "\n")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
