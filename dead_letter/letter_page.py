"""One dead letter, whole: as a page for people and as a JSON document."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from bridge.attempt import Error
from bridge.envelope import FIRST_ATTEMPTS_KEPT, Envelope, error_to_json
from bridge.event import Event, timestamp
from bridge.ledger import Letter, Redriven, Transcript
from dead_letter.choosing import History
from dead_letter.payload import data_to_json, preview
from dead_letter.rendering import NO_QUEUE, Column, age, decided, print_table, visible

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
    state = "open" if history.open else decided(history.decisions[-1], now)
    _heading(console, f"Dead letter {history.letter.number}, {state}", first=True)
    _fields(
        console,
        {
            "event": event.name,
            "id": event.id,
            "queue": letter.queue or NO_QUEUE,
            "reason": letter.reason,
            "died": f"{_when(letter.time)}, {age(letter.time, now)} ago",
            "deferred": f"{_when(event.time)}, {age(event.time, now)} ago, by {event.source}",
            "attempts": f"{tried} in {envelope.round} {'round' if envelope.round == 1 else 'rounds'}",
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
        _heading(console, "Its envelope, which this program cannot read")
        _text(console, letter.unread)
    if letter.transcript is not None:
        _transcript(console, letter.transcript)
    _payload(console, event)
    if history.decisions:
        _heading(console, "Decisions")
        for decision in history.decisions:
            _text(console, f"{_when(decision.time)}  {decided(decision, now)}")


def letter_to_document(history: History, letter: Letter) -> dict[str, Any]:
    """Return the letter as one JSON document. Its data are `data` where they are JSON, else `data_base64`, as in the
    JSON format of CloudEvents."""
    envelope, event = letter.envelope, letter.envelope.event
    return {
        "number": history.letter.number,
        "open": history.open,
        "decisions": [
            {
                "decision": "redriven" if isinstance(decision, Redriven) else "discarded",
                "time": timestamp(decision.time),
                "actor": decision.actor,
                "reason": decision.note,
            }
            for decision in history.decisions
        ],
        "time": timestamp(letter.time),
        "queue": letter.queue,
        "reason": letter.reason,
        "event": {
            "id": event.id,
            "type": event.name,
            "source": event.source,
            "time": timestamp(event.time),
            "traceparent": event.traceparent,
            "datacontenttype": event.content_type,
            **data_to_json(event),
        },
        "round": envelope.round,
        "attempts": [{**asdict(attempt), "started": timestamp(attempt.started)} for attempt in envelope.attempts],
        "omitted_attempts": envelope.omitted,
        "error": error_to_json(letter.error),
        "first_error": envelope.first_error and error_to_json(envelope.first_error),
        "transcript": letter.transcript and asdict(letter.transcript),
        "unread": letter.unread,
    }


def _attempt_rows(envelope: Envelope) -> Iterator[tuple[str, ...]]:
    for place, attempt in enumerate(envelope.attempts):
        if envelope.omitted and place == FIRST_ATTEMPTS_KEPT:
            yield ("", "", f"… {envelope.omitted:,} attempts not kept …", "", "", "", "")
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
    text, whole = preview(event)
    _text(console, text)
    if not whole:
        _text(console, "… and more: --body writes the data byte for byte")


def _error(console: Console, error: Error, last: Error | None = None) -> None:
    if error == last:
        _text(console, "the same")
        return
    _text(console, f"{error.type}: {error.message}")
    if error.traceback:
        _text(console, error.traceback.rstrip())


def _fields(console: Console, fields: Mapping[str, str]) -> None:
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        console.print(Text(f"  {visible(name).ljust(width)}  {visible(value)}"))


def _heading(console: Console, text: str, *, first: bool = False) -> None:
    if not first:
        console.print()
    console.print(Text(visible(text), style="bold"))


def _text(console: Console, text: str) -> None:
    for line in visible(text, lines=True).split("\n"):
        console.print(Text(f"  {line}"))


def _when(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
