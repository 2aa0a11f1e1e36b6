"""The controls of a site: what operators have decided about queues, as records of a log, and the fold of these records
into what holds now. Pure.

A pause holds until its time, or until a resume names it. Each record also *carries* the other pauses that its writer
knows to hold. So the oldest records can be removed from the log, and a pause is kept for as long as it holds. A pause
that was resumed never holds again, whichever record still carries it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from bridge import json_fields as read
from bridge.attempt import cut_in_the_middle
from bridge.envelope import to_json
from bridge.event import format_time
from bridge.ledger_keys import LedgerKeys
from bridge.logs import Content
from bridge.record_signatures import SIGNATURE, is_believed, signature_of
from bridge.topics import check_pattern, matches

MAX_TEXT = 500
"""The longest actor, reason or name in characters; the middle of a longer reason is cut."""

MOST_CARRIED = 40 * 1024
"""The most bytes of pauses that one record carries, so that it stays below the limit of a record."""

PURGES_KEPT = 100
"""The number of purges that a fold remembers, the newest ones."""

_KIND = "control"


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause of one queue, or of the events that match a pattern: exactly one of `queue` and `events` is not None.

    It began at `time` and holds until `until` (UTC), None: until it is resumed. `event` is the id of the event that
    halted the queue, None if a person paused it.
    """

    id: str
    queue: str | None
    events: str | None
    until: datetime | None
    who: str
    why: str
    time: datetime
    event: str | None = None

    @property
    def target(self) -> str:
        """The paused queue or events, for people."""
        return f"queue {self.queue}" if self.queue is not None else f"events {self.events}"

    @property
    def reason(self) -> str:
        """By whom, until when and why, for people: `paused by ana@web1 until 2026-11-20 14:00 UTC: provider down`."""
        until = "" if self.until is None else f" until {self.until:%Y-%m-%d %H:%M} UTC"
        by = f"halted by event {self.event}" if self.event is not None else f"paused by {self.who}"
        return f"{by}{until}: {self.why}"

    def holds(self, now: datetime) -> bool:
        """Return whether the pause has not run out."""
        return self.until is None or now < self.until

    def covers(self, queue: str, name: str) -> bool:
        """Return whether the pause is of this queue, or of events with this name."""
        return self.queue == queue if self.queue is not None else matches(self.events or "", name)


@dataclass(frozen=True, slots=True)
class Resume:
    """The end of some pauses, by their ids. A pause that its author did not know still holds."""

    ends: tuple[str, ...]
    who: str
    why: str
    time: datetime


@dataclass(frozen=True, slots=True)
class Purge:
    """The removal of a queue's ready events. `events` is their number; None in the record that is written before them
    is removed, so that no purge is without a record."""

    id: str
    queue: str
    events: int | None
    who: str
    why: str
    time: datetime


Control = Pause | Resume | Purge


class Controls:
    """The fold of the log: the pauses, whether they have run out or not, and the newest purges. `skipped` counts the
    records that are damaged, of another kind, or not signed as they must be."""

    def __init__(self) -> None:
        self.skipped = 0
        self._purges: dict[str, Purge] = {}
        self._pauses: dict[str, Pause] = {}
        self._ended: set[str] = set()

    def add(self, content: Content, namespace: str, keys: LedgerKeys) -> None:
        """Add the next record of the log. A record may be added again: that changes nothing."""
        if not is_believed(content, _KIND, namespace, keys):
            self.skipped += 1
            return
        try:
            control, carried = _control(content), [_pause(each) for each in read.items(content.get("carried", []))]
        except (ValueError, KeyError):
            self.skipped += 1
            return
        match control:
            case Pause():
                self._hold([control])
            case Resume(ends=ends):
                self._ended.update(ends)
                for each in ends:
                    self._pauses.pop(each, None)
            case Purge():
                self._purges[control.id] = control
                if len(self._purges) > PURGES_KEPT:
                    del self._purges[next(iter(self._purges))]
        self._hold(carried)

    def knows(self, pause: str) -> bool:
        """Return whether there was a pause with this id, whether it holds or not."""
        return pause in self._pauses or pause in self._ended

    def pauses(self, now: datetime) -> tuple[Pause, ...]:
        """Return the pauses that hold now, the oldest first."""
        return tuple(sorted(self.to_carry(now), key=lambda pause: pause.time))

    def to_carry(self, now: datetime) -> tuple[Pause, ...]:
        """Return the pauses that hold now, first those whose newest record is the oldest."""
        return tuple(pause for pause in self._pauses.values() if pause.holds(now))

    def purges(self, queue: str) -> tuple[Purge, ...]:
        """Return the newest purges of a queue, the oldest of them first."""
        return tuple(purge for purge in self._purges.values() if purge.queue == queue)

    def _hold(self, pauses: Iterable[Pause]) -> None:
        for pause in pauses:
            if pause.id not in self._ended:
                self._pauses[pause.id] = self._pauses.pop(pause.id, pause)


def record_of(control: Control, held: Iterable[Pause], namespace: str, keys: LedgerKeys) -> Content:
    """Return the record of a control. `held` are the other pauses that hold now, as `Controls.to_carry` orders them, of
    which the record carries as many as it has room for. With a key the record is signed."""
    content = {**_fields(control), "carried": list(_carried(held))}
    if keys:
        content[SIGNATURE] = signature_of(content, _KIND, namespace, keys)
    return content


def fields_of(control: Control) -> dict[str, Any]:
    """Return a control as a JSON object for `--json`."""
    fields = _fields(control)
    del fields["kind"]
    return fields


def pause_of(pauses: Sequence[Pause], queue: str, name: str | None = None) -> Pause | None:
    """Return the pause because of which an event of this queue and name may not begin, None if it may. A pause of the
    queue comes before one of the event's name. Without a name only pauses of the queue count."""
    if not pauses:  # asked for each event
        return None
    of_queue = next((pause for pause in pauses if pause.queue == queue), None)
    if of_queue is not None or name is None:
        return of_queue
    return next((pause for pause in pauses if pause.events is not None and matches(pause.events, name)), None)


def _carried(held: Iterable[Pause]) -> Iterator[dict[str, Any]]:
    room = MOST_CARRIED
    for pause in held:
        fields = _fields(pause)
        room -= len(to_json(fields).encode())
        if room < 0:
            return
        yield fields


def _fields(control: Control) -> dict[str, Any]:
    why = cut_in_the_middle(control.why, MAX_TEXT)
    common = {"who": control.who, "why": why, "time": format_time(control.time)}
    match control:
        case Pause(id=id, queue=queue, events=events, until=until, event=event):
            ends = None if until is None else format_time(until)
            return {"kind": "pause", "id": id, "queue": queue, "events": events, "until": ends, "event": event} | common
        case Resume(ends=ends):
            return {"kind": "resume", "ends": list(ends)} | common
        case Purge(id=id, queue=queue, events=count):
            return {"kind": "purge", "id": id, "queue": queue, "events": count} | common


def _control(fields: Mapping[str, Any]) -> Control:
    kind: Literal["pause", "resume", "purge"] | object = fields["kind"]
    if kind == "pause":
        return _pause(fields)
    who, why, time = read.cut_text(fields["who"], MAX_TEXT), read.cut_text(fields["why"], MAX_TEXT), fields["time"]
    if kind == "resume":
        ends = tuple(read.exact_text(each, MAX_TEXT) for each in read.items(fields["ends"]))
        return Resume(ends, who, why, read.time(time))
    if kind == "purge":
        events = read.optional(read.number, fields["events"])
        queue = read.exact_text(fields["queue"], MAX_TEXT)
        return Purge(read.exact_text(fields["id"], MAX_TEXT), queue, events, who, why, read.time(time))
    raise ValueError(f"expected pause, resume or purge, got {kind!r:.80}")


def _pause(value: object) -> Pause:
    fields = read.mapping(value)
    queue = read.optional(lambda text: read.exact_text(text, MAX_TEXT), fields["queue"])
    events = read.optional(check_pattern, fields["events"])
    if (queue is None) == (events is None):
        raise ValueError("expected either a queue or events")
    return Pause(
        id=read.exact_text(fields["id"], MAX_TEXT),
        queue=queue,
        events=events,
        until=read.optional(read.time, fields["until"]),
        who=read.cut_text(fields["who"], MAX_TEXT),
        why=read.cut_text(fields["why"], MAX_TEXT),
        time=read.time(fields["time"]),
        event=read.optional(lambda text: read.exact_text(text, MAX_TEXT), fields.get("event")),
    )
