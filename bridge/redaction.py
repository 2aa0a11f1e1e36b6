"""Hides what nobody shall read in a payload or a transcript that is shown, logged or exported. Pure.

A field is hidden if its name contains one of the words of the setting `redact`: in JSON at any depth, in a form, among
the parameters of a request and the headers of a reply. Its value is hidden too where it comes up in other texts of the
same letter, such as an error's message.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from bridge.attempt import Attempt, Error, encodable
from bridge.envelope import Envelope
from bridge.event import Event
from bridge.ledger import Letter, Transcript

HIDDEN = "[redacted]"

LEAST_VALUE = 4
"""The fewest characters of a value that is hidden in other texts. A shorter one comes up by chance."""

MOST_VALUES = 1_000

_FORM = "application/x-www-form-urlencoded"
_SEPARATORS = re.compile(r"[-_ .]")


@dataclass(frozen=True, slots=True)
class Redaction:
    """The words of the setting `redact`. Case, `-` and `_` do not matter: `card` hides the field `Card-Number`."""

    words: tuple[str, ...] = ()

    def hides(self, name: str) -> bool:
        """Return whether a field of this name is hidden."""
        plain = _plain(name)
        return any(_plain(word) in plain for word in self.words)

    def in_letter(self, letter: Letter) -> Letter:
        """Return the letter without the hidden values. It must not be redriven."""
        if not self.words:
            return letter
        event = letter.envelope.event
        values = sorted(
            {*self._values_in(event), *self._values_in_transcript(letter.transcript)}, key=len, reverse=True
        )
        hide = _Hide(re.compile("|".join(map(re.escape, values[:MOST_VALUES]))) if values else None)
        return replace(
            letter,
            envelope=self._in_envelope(letter.envelope, hide),
            error=hide.in_error(letter.error),
            transcript=letter.transcript and self._in_transcript(letter.transcript, hide),
            unread=letter.unread and hide(letter.unread),
        )

    def in_event(self, event: Event) -> Event:
        """Return the event with its data redacted. Data without a hidden field stay as they are, byte for byte."""
        if not self.words:
            return event
        if event.content_type.partition(";")[0].strip().lower() == _FORM:
            return event._replace(data=self._in_form(event.data))
        value = _json(event.data)
        if next(self._hidden(value), None) is None:
            return event
        return event._replace(data=self._as_text(value).encode())

    def restored(self, new: Any, old: Any) -> Any:
        """Return the JSON value `new`, which a person made of the redacted form of `old`, with the hidden values of
        `old`: a hidden field that still has the text `HIDDEN` keeps its value. An item of a list keeps them only if it
        is unchanged in its place, because items that were moved look alike. Raise `ValueError` if a hidden field with
        that text has no old value."""
        if isinstance(new, dict):
            known = old if isinstance(old, dict) else {}
            return {name: self._restored_field(name, value, known) for name, value in new.items()}
        if isinstance(new, list):
            items = old if isinstance(old, list) else []
            shown = [self._without(each) for each in items]
            return [
                items[at] if at < len(items) and each == shown[at] else self.restored(each, None)
                for at, each in enumerate(new)
            ]
        return new

    def _restored_field(self, name: str, value: Any, known: Mapping[str, Any]) -> Any:
        if not (self.hides(name) and value == HIDDEN):
            return self.restored(value, known.get(name))
        if name not in known:
            raise ValueError(f"{name!r:.60} is {HIDDEN}, and has no old value in this place: write its value")
        return known[name]

    def _in_envelope(self, envelope: Envelope, hide: "_Hide") -> Envelope:
        attempts = tuple(hide.in_attempt(attempt) for attempt in envelope.attempts)
        first = envelope.first_error and hide.in_error(envelope.first_error)
        return envelope._replace(event=self.in_event(envelope.event), attempts=attempts, first_error=first)

    def _in_transcript(self, transcript: Transcript, hide: "_Hide") -> Transcript:
        body = _json(transcript.body.encode(errors="replace"))
        text = transcript.body if next(self._hidden(body), None) is None else self._as_text(body)
        return replace(
            transcript,
            parameters=self._in_fields(transcript.parameters, hide),
            headers=self._in_fields(transcript.headers, hide),
            body=hide(text),
            error_output=hide(transcript.error_output),
        )

    def _in_fields(self, fields: Mapping[str, str], hide: "_Hide") -> dict[str, str]:
        return {name: HIDDEN if self.hides(name) else hide(value) for name, value in fields.items()}

    def _in_form(self, data: bytes) -> bytes:
        fields = parse_qsl(data.decode(errors="replace"), keep_blank_values=True)
        if not any(self.hides(name) for name, _ in fields):
            return data
        return urlencode([(name, HIDDEN if self.hides(name) else value) for name, value in fields]).encode()

    def _values_in(self, event: Event) -> Iterator[str]:
        """Yield the hidden values of an event's data that are hidden in other texts too."""
        if event.content_type.partition(";")[0].strip().lower() == _FORM:
            found = [value for name, value in parse_qsl(event.data.decode(errors="replace")) if self.hides(name)]
        else:
            found = [text for value in self._hidden(_json(event.data)) for text in _texts(value)]
        yield from (text for text in found if len(text) >= LEAST_VALUE)

    def _values_in_transcript(self, transcript: Transcript | None) -> Iterator[str]:
        if transcript is not None:
            for fields in (transcript.parameters, transcript.headers):
                yield from (value for name, value in fields.items() if self.hides(name) and len(value) >= LEAST_VALUE)

    def _hidden(self, value: Any) -> Iterator[Any]:
        """Yield the values of hidden fields in a JSON value, those that are None as an empty text."""
        waiting = [value]
        while waiting:
            each = waiting.pop()
            if isinstance(each, dict):
                for name, inner in each.items():
                    if self.hides(name):
                        yield "" if inner is None else inner
                    else:
                        waiting.append(inner)
            elif isinstance(each, list):
                waiting.extend(each)

    def _as_text(self, value: Any) -> str:
        """Return a JSON value without what is hidden, as text. A value that is nested too deep is hidden as a whole."""
        try:
            return encodable(json.dumps(self._without(value), ensure_ascii=False))
        except RecursionError:
            return json.dumps(HIDDEN)

    def _without(self, value: Any) -> Any:
        """Return a JSON value whose hidden fields have the text `HIDDEN`."""
        if isinstance(value, dict):
            return {name: HIDDEN if self.hides(name) else self._without(inner) for name, inner in value.items()}
        return [self._without(each) for each in value] if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class _Hide:
    """Replaces hidden values in texts. None: there are none."""

    values: re.Pattern[str] | None

    def __call__(self, text: str) -> str:
        return text if self.values is None else self.values.sub(HIDDEN, text)

    def in_error(self, error: Error) -> Error:
        return Error(error.type, self(error.message), error.traceback and self(error.traceback))

    def in_attempt(self, attempt: Attempt) -> Attempt:
        return replace(attempt, error=attempt.error and self.in_error(attempt.error))


def _plain(name: str) -> str:
    return _SEPARATORS.sub("", name).casefold()


def _json(data: bytes) -> Any:
    """Return the JSON value in the data; None for other data."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts and numbers in a JSON value."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)
        elif each is not None and not isinstance(each, bool):
            yield str(each)
