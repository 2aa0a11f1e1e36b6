"""One dead letter with everything about it: as a page for people, and as a JSON document."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from bridge.attempt import Error
from bridge.attempt_text import error_to_json
from bridge.console.printable import printable
from bridge.console.terminal import Column, print_table
from bridge.envelope import FIRST_ATTEMPTS_KEPT, Envelope
from bridge.event import UNKNOWN_TIME, Event, format_time
from bridge.handling import Handling
from bridge.handling_text import handling_to_json, retry_to_json
from bridge.ledger import Letter, Redriven, Transcript
from bridge.retry_table import RetryTable
from dead_letter.choosing import History
from dead_letter.payload import data_to_json, preview
from dead_letter.rendering import NO_QUEUE, ago, decision_text, time_to_json

_ATTEMPT_COLUMNS = (
    Column("round", right=True, narrow=True),
    Column("no", right=True, narrow=True),
    Column("when", narrow=True),
    Column("seconds", right=True, narrow=True),
    Column("outcome", narrow=True),
    Column("release"),
    Column("error"),
)


def print_letter(console: Console, history: History, letter: Letter, now: datetime) -> None:
    """Print the page of a letter."""
    event, envelope = letter.envelope.event, letter.envelope
    tried = len(envelope.attempts) + envelope.omitted
    state = "open" if history.open else decision_text(history.decisions[-1], now)
    _heading(console, f"Dead letter {history.letter.number}, {state}", first=True)
    _fields(
        console,
        {
            "event": event.name,
            "id": event.id,
            "queue": letter.queue or NO_QUEUE,
            "reason": letter.reason,
            "group": history.letter.fingerprint.id,
            **({} if history.letter.believed else {"signature": "missing or wrong: this letter is not believed"}),
            "died": _when_and_ago(letter.time, now),
            "deferred": f"{_when_and_ago(event.time, now)}, by {event.source}",
            "attempts": f"{tried} in {envelope.round} {'round' if envelope.round == 1 else 'rounds'}",
            **_handling(event.handling),
        },
    )
    if envelope.attempts:
        _heading(console, "Attempts")
        print_table(console, _ATTEMPT_COLUMNS, _attempt_rows(envelope))
    _heading(console, "Last error")
    _error(console, letter.error)
    if envelope.first_error is not None:
        _heading(console, "First error")
        _error(console, envelope.first_error, last=letter.error)
    if letter.unread is not None:
        _heading(console, "The envelope, which this program cannot decode")
        _text(console, letter.unread)
    if letter.transcript is not None:
        _transcript(console, letter.transcript)
    _payload(console, event)
    if history.decisions:
        _heading(console, "Decisions")
        for decision in history.decisions:
            _text(console, f"{_when(decision.time)}  {decision_text(decision, now)}")


def letter_to_document(history: History, letter: Letter) -> dict[str, Any]:
    """Return the letter as one JSON document. Its data are in `data` if they are JSON, else in `data_base64`, as in the
    JSON format of CloudEvents."""
    envelope, event = letter.envelope, letter.envelope.event
    return {
        "number": history.letter.number,
        "open": history.open,
        "group": history.letter.fingerprint.id,
        "decisions": [
            {
                "decision": "redriven" if isinstance(decision, Redriven) else "discarded",
                "time": format_time(decision.time),
                "actor": decision.actor,
                "reason": decision.note,
            }
            for decision in history.decisions
        ],
        "time": time_to_json(letter.time),
        "queue": letter.queue,
        "reason": letter.reason,
        **({} if history.letter.believed else {"believed": False}),
        "event": {
            "id": event.id,
            "type": event.name,
            "source": event.source,
            "time": time_to_json(event.time),
            "traceparent": event.traceparent,
            "datacontenttype": event.content_type,
            "handling": handling_to_json(event.handling),
            **data_to_json(event),
        },
        "round": envelope.round,
        "attempts": [{**asdict(attempt), "started": format_time(attempt.started)} for attempt in envelope.attempts],
        "omitted_attempts": envelope.omitted,
        "error": error_to_json(letter.error),
        "first_error": envelope.first_error and error_to_json(envelope.first_error),
        "transcript": letter.transcript and asdict(letter.transcript),
        "unread": letter.unread,
    }


def _handling(handling: Handling) -> dict[str, str]:
    """Return the lines about what the publisher of the event asked for."""
    lines = {
        "key": handling.key,
        "priority": handling.priority,
        "expires": handling.expires and _when(handling.expires),
        "retry": handling.retry and _table(handling.retry),
    }
    return {name: str(text) for name, text in lines.items() if text is not None}


def _table(retry: RetryTable) -> str:
    return ", ".join(f"{key} = {value:g}" for key, value in retry_to_json(retry).items())


def _attempt_rows(envelope: Envelope) -> Iterator[tuple[str, ...]]:
    for place, attempt in enumerate(envelope.attempts):
        if envelope.omitted and place == FIRST_ATTEMPTS_KEPT:
            yield ("", "", f"… {envelope.omitted:,} attempts omitted …", "", "", "", "")
        error = attempt.error
        yield (
            str(attempt.round),
            str(attempt.number),
            _when(attempt.started),
            f"{attempt.seconds:.3f}",
            attempt.outcome,
            attempt.release or "",
            f"{error.type}: {error.message}" if error else "",
        )


def _transcript(console: Console, transcript: Transcript) -> None:
    _heading(console, "Last attempt: the request")
    _fields(console, transcript.parameters)
    _heading(console, f"Last attempt: the reply, {transcript.status or 'no status'}")
    _fields(console, transcript.headers)
    _text(console, transcript.body or "(no body)")
    if transcript.error_output:
        _heading(console, "Last attempt: standard error")
        _text(console, transcript.error_output)


def _payload(console: Console, event: Event) -> None:
    _heading(console, f"Payload: {len(event.data):,} bytes, {event.content_type}")
    text, complete = preview(event)
    _text(console, text)
    if not complete:
        _text(console, "… (shortened; --body writes all of the data)")


def _error(console: Console, error: Error, last: Error | None = None) -> None:
    if error == last:
        _text(console, "the same as the last error")
        return
    _text(console, f"{error.type}: {error.message}")
    if error.traceback:
        _text(console, error.traceback.rstrip())


def _fields(console: Console, fields: Mapping[str, str]) -> None:
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        console.print(Text(f"  {printable(name).ljust(width)}  {printable(value)}"))


def _heading(console: Console, text: str, *, first: bool = False) -> None:
    if not first:
        console.print()
    console.print(Text(printable(text), style="bold"))


def _text(console: Console, text: str) -> None:
    for line in printable(text, lines=True).split("\n"):
        console.print(Text(f"  {line}"))


def _when_and_ago(time: datetime, now: datetime) -> str:
    return ago(time, now) if time == UNKNOWN_TIME else f"{_when(time)}, {ago(time, now)}"


def _when(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
