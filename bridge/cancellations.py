"""Cancelled events: the records of a log, and the fold of these records into the events that must not begin. Pure.

A cancellation is a wish by the id of an event. It takes effect when a worker is about to begin the event, which then
becomes a dead letter with the reason *cancelled*.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bridge import json_fields as read
from bridge.attempt import Error
from bridge.envelope import Envelope
from bridge.event import format_time
from bridge.ledger_keys import LedgerKeys
from bridge.logs import Content
from bridge.record_signatures import SIGNATURE, is_believed, signature_of
from bridge.site_logs import CANCELLED_FOR

_KIND = "cancellation"
MAX_TEXT = 500


@dataclass(frozen=True, slots=True)
class Cancellation:
    """The wish that the event with this id ends. `running`: also if it runs at that moment. `signature` proves that
    its author has the site's key."""

    event: str
    running: bool
    who: str
    why: str
    time: datetime
    signature: str | None = None

    def signed(self, namespace: str, keys: LedgerKeys) -> "Cancellation":
        """Return the cancellation with its signature; without a key, unchanged."""
        return replace(self, signature=signature_of(record_of(self), _KIND, namespace, keys)) if keys else self

    @property
    def error(self) -> Error:
        """The error in the dead letter: who cancelled the event, and why."""
        return Error("cancelled", f"cancelled by {self.who}{f': {self.why}' if self.why else ''}")

    def covers(self, envelope: Envelope) -> bool:
        """Return whether the event may not begin. An event that was redriven after its cancellation may."""
        return envelope.round == 1 or envelope.round_began <= self.time


class Cancellations:
    """The fold of the log: the cancellations of the last 30 days, by event. `skipped` counts records that are damaged,
    of another kind, or not signed as they must be."""

    def __init__(self) -> None:
        self.skipped = 0
        self._by_event: dict[str, Cancellation] = {}

    def __len__(self) -> int:
        """The number of cancellations that are known."""
        return len(self._by_event)

    def add(self, content: Content, now: datetime, namespace: str, keys: LedgerKeys) -> Cancellation | None:
        """Add the next record of the log. Return its cancellation; None for a record that does not count."""
        if not is_believed(content, _KIND, namespace, keys):
            self.skipped += 1
            return None
        try:
            cancellation = _cancellation(content)
        except (ValueError, KeyError):
            self.skipped += 1
            return None
        if now - cancellation.time > CANCELLED_FOR:
            return None
        self._by_event.pop(cancellation.event, None)
        self._by_event[cancellation.event] = cancellation
        self._forget(now)
        return cancellation

    def of(self, envelope: Envelope) -> Cancellation | None:
        """Return the cancellation because of which this event may not begin, None if it may."""
        found = self._by_event.get(envelope.event.id)
        return found if found is not None and found.covers(envelope) else None

    def knows(self, event: str) -> bool:
        """Return whether there is a cancellation of the event with this id."""
        return event in self._by_event

    def _forget(self, now: datetime) -> None:
        """Remove old cancellations, which are the first ones."""
        while self._by_event:
            oldest = next(iter(self._by_event.values()))
            if now - oldest.time <= CANCELLED_FOR:
                return
            del self._by_event[oldest.event]


def record_of(cancellation: Cancellation) -> Content:
    """Return the record of a cancellation."""
    content = {"kind": "cancel", **fields_of(cancellation)}
    return content if cancellation.signature is None else {**content, SIGNATURE: cancellation.signature}


def fields_of(cancellation: Cancellation) -> dict[str, Any]:
    """Return a cancellation as a JSON object for `--json`."""
    return {
        "event": cancellation.event,
        "running": cancellation.running,
        "who": cancellation.who,
        "why": cancellation.why,
        "time": format_time(cancellation.time),
    }


def _cancellation(fields: Mapping[str, Any]) -> Cancellation:
    if fields["kind"] != "cancel":
        raise ValueError("expected a cancellation")
    return Cancellation(
        event=read.exact_text(fields["event"], MAX_TEXT),
        running=fields.get("running") is True,
        who=read.cut_text(fields["who"], MAX_TEXT),
        why=read.cut_text(fields["why"], MAX_TEXT),
        time=read.time(fields["time"]),
    )
