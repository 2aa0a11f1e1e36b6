"""The ledger of dead letters as values: its entries, the fold of entries into open letters, and the filters of letters.

The ledger is append-only, and a broker stores it. A `Letter` is a whole dead letter, as it is stored and shown. The
entries `Dead`, `Redriven`, `Discarded` and `Skipped` are the summaries that a reader of the whole ledger needs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bridge.attempt import Error
from bridge.envelope import Envelope, decode_head
from bridge.errors import UnreadableEnvelope
from bridge.event import UNKNOWN_TIME
from bridge.failures.fingerprint import Fingerprint, fingerprint_of, place_of
from bridge.settlement import Reason
from bridge.topics import matches


@dataclass(frozen=True, slots=True)
class Transcript:
    """The request and the reply of the last attempt. Long texts are cut to fit into the letter."""

    parameters: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    error_output: str = ""


ERASED = "[erased]"
"""The message of each error of an erased letter."""

ERASED_NOTE = "erased: "
"""The beginning of the note with which an open letter is discarded because it was erased."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A whole dead letter.

    `queue` is empty if the event was unroutable: a redrive then routes it by its name again. `error` is the last error,
    with its traceback; the first error is in the envelope. `unread` is the envelope's head as it was received, if this
    program could not read it: a later version may be able to. `unread_cut` is the number of characters that were cut
    off the end of `unread` because it was too long.
    """

    time: datetime
    queue: str
    reason: Reason
    envelope: Envelope
    error: Error
    transcript: Transcript | None = None
    unread: str | None = None
    unread_cut: int = 0

    @property
    def erased(self) -> bool:
        """True if the data of the letter were removed for good."""
        return self.error.message == ERASED and not self.envelope.event.data

    def revived(self, now: datetime) -> Envelope:
        """Return the envelope that a redrive publishes. Raise `UnreadableEnvelope` if `unread` still cannot be read."""
        if self.unread_cut:
            raise UnreadableEnvelope(
                f"the envelope's head was too long to be kept whole: {self.unread_cut} characters are cut"
            )
        envelope = self.envelope if self.unread is None else decode_head(self.unread, self.envelope.event.data)
        return envelope.next_round(now)


@dataclass(frozen=True, slots=True)
class Dead:
    """The entry of a new dead letter: its summary for lists, filters and counts. `believed` is False if the letter
    claims to be a worker's and its signature does not prove that.

    `place` is the app's own frame that failed (`place_of`), `release` that of the last attempt; None if not known.
    """

    number: int
    time: datetime
    queue: str
    reason: str
    event_id: str
    event_name: str
    error_type: str
    error_message: str
    attempts: int
    believed: bool = True
    place: str | None = None
    release: str | None = None

    @property
    def fingerprint(self) -> Fingerprint:
        """The fingerprint of the last error."""
        return fingerprint_of(self.error_type, self.error_message, self.place)


@dataclass(frozen=True, slots=True)
class Redriven:
    """The entry of a redrive. `number` is the number of this entry, `letter` the number of the letter's entry."""

    number: int
    letter: int
    time: datetime
    actor: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Discarded:
    """The entry of a decision to discard a letter. `number` and `letter` are as in `Redriven`."""

    number: int
    letter: int
    time: datetime
    actor: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """The entry of a record that counts neither as a letter nor as a decision; `why` is a sentence for people."""

    number: int
    why: str


Decision = Redriven | Discarded
Entry = Dead | Decision | Skipped


def open_letters(entries: Iterable[Entry]) -> dict[int, Dead]:
    """Return the letters without a decision, by number, oldest first. A decision about a letter that is not in the
    ledger any more changes nothing: an operator's retention policy may have removed the letter."""
    result: dict[int, Dead] = {}
    for entry in entries:
        match entry:
            case Dead(number=number):
                result[number] = entry
            case Redriven(letter=letter) | Discarded(letter=letter):
                result.pop(letter, None)
    return result


@dataclass(frozen=True, slots=True)
class Filter:
    """The conditions that a letter must meet. A condition that is None holds for every letter.

    `event` is a pattern of event names, as queues have it. `error` is a part of the last error's type or message (case
    does not matter). `older` and `newer` are the least and the greatest age; a letter of unknown age meets neither.
    `group` is the id of a fingerprint or its beginning. `release` is that of the attempt that failed last.
    """

    event: str | None = None
    queue: str | None = None
    error: str | None = None
    older: timedelta | None = None
    newer: timedelta | None = None
    group: str | None = None
    release: str | None = None

    def takes(self, letter: Dead, now: datetime) -> bool:
        """Return whether the letter meets all conditions."""
        age = now - letter.time if letter.time != UNKNOWN_TIME else None
        error = f"{letter.error_type}: {letter.error_message}".lower()
        return (
            (self.event is None or matches(self.event, letter.event_name))
            and (self.queue is None or self.queue == letter.queue)
            and (self.error is None or self.error.lower() in error)
            and (self.older is None or (age is not None and age >= self.older))
            and (self.newer is None or (age is not None and age <= self.newer))
            and (self.release is None or self.release == letter.release)
            and (self.group is None or letter.fingerprint.id.startswith(self.group))
        )


@dataclass(frozen=True, slots=True)
class Group:
    """The number of letters that have the same event name, queue and error type, and the range of their times."""

    event_name: str
    queue: str
    error_type: str
    count: int
    oldest: datetime
    newest: datetime


def grouped(letters: Iterable[Dead]) -> list[Group]:
    """Count the letters by event name, queue and error type. The largest group comes first."""
    groups: dict[tuple[str, str, str], Group] = {}
    for letter in letters:
        error_type = letter.error_type if letter.believed else f"{letter.error_type} (not believed)"
        key = (letter.event_name, letter.queue, error_type)
        group = groups.get(key) or Group(*key, 0, letter.time, letter.time)
        oldest, newest = span([group.oldest, group.newest, letter.time])
        groups[key] = replace(group, count=group.count + 1, oldest=oldest, newest=newest)
    return sorted(groups.values(), key=lambda group: (-group.count, group.event_name, group.queue))


def span(times: Iterable[datetime]) -> tuple[datetime, datetime]:
    """Return the first and the last of the times, without unknown ones; `UNKNOWN_TIME` twice if none is known."""
    known = [time for time in times if time != UNKNOWN_TIME]
    return (min(known), max(known)) if known else (UNKNOWN_TIME, UNKNOWN_TIME)


def summary(number: int, letter: Letter) -> Dead:
    """Return the entry of a letter that has this number in the ledger."""
    return Dead(
        number=number,
        time=letter.time,
        queue=letter.queue,
        reason=letter.reason,
        event_id=letter.envelope.event.id,
        event_name=letter.envelope.event.name,
        error_type=letter.error.type,
        error_message=letter.error.message,
        attempts=len(letter.envelope.attempts) + letter.envelope.omitted,
        place=place_of(letter.error.traceback),
        release=letter.envelope.attempts[-1].release if letter.envelope.attempts else None,
    )
