"""Replays one dead letter in the foreground, in this process: `python -m app_adapter.letter_replay APP FOLDER [--pdb]`.

`bridge-dlq replay` starts it, with the letter in the folder, and reads there how far it came, and the exit code.
Nothing is published: the events that listeners defer meanwhile are recorded and printed.
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
from app_adapter.listener_api import Halt, Reject, Retry, Snooze
from app_adapter.testing import Recording
from bridge.console.exit_codes import ExitCode
from bridge.console.letter_stage import LETTER, Stage, write_exit_code
from bridge.console.printable import printable
from bridge.event import parse_time
from bridge.outcome import Outcome, Succeeded

_ANSWERS = tuple(answer.__name__ for answer in (Halt, Reject, Retry, Snooze))


def main(target: str, folder: str, *options: str) -> int:
    """Load the app, run the event of the folder, and print what it came to; return the exit code."""
    here = Path(folder)
    code = _run(target, here, debug="--pdb" in options)
    write_exit_code(here, code)
    return code


def _run(target: str, here: Path, *, debug: bool) -> int:
    letter = json.loads((here / LETTER).read_bytes())
    try:
        state = load(target)
    except BootError as error:
        sys.stderr.write(f"Error: {error}\n")
        return ExitCode.APP
    events: Any = state.events
    Stage.RUNNING.write(here)
    with events.testing() as recording, _Failures() as failures:
        (outcome,) = _replay(state, recording, letter)
    seen = debug and _debug(failures.last, outcome)
    return _report(outcome, recording, with_traceback=not seen)


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


def _debug(failure: TracebackType | None, outcome: Outcome) -> bool:
    """Open the debugger where the listener failed, and return True when the user has left it. If the event failed
    otherwise, print why it is not opened."""
    if failure is not None:
        pdb.post_mortem(failure)
        return True
    if isinstance(outcome, Succeeded):
        return False
    if outcome.error.type in _ANSWERS:
        why = f"the listener raised {outcome.error.type}, which is an answer and not an error"
        _say(f"No debugger: {why}. breakpoint() in the listener opens one.")
    else:
        _say("No debugger: no exception was raised.")
    return False


def _report(outcome: Outcome, recording: Recording, *, with_traceback: bool) -> int:
    for deferred in recording:
        _say(f"It deferred {deferred.name}, which is not published: {deferred.payload!r:.200}")
    if isinstance(outcome, Succeeded):
        _say("Delivered. Nothing was changed in the broker or in the ledger.")
        return ExitCode.DONE
    if outcome.error.traceback and with_traceback:
        sys.stderr.write(printable(outcome.error.traceback.rstrip(), lines=True) + "\n")
    _say(f"{type(outcome).__name__}: {outcome.error.type}: {outcome.error.message}")
    return ExitCode.INCOMPLETE


def _say(text: str) -> None:
    sys.stdout.write(printable(text) + "\n")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
