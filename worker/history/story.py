"""The story of one event: one line of time from the history, the ledger and the running workers, and what cannot be
known. Pure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from bridge.cancellations import Cancellation
from bridge.controls import Pause, pause_of
from bridge.history import Entry, to_json
from bridge.ledger import Dead, Discarded, Redriven
from bridge.registry import Missing
from bridge.status import SlotStatus, WorkerStatus
from worker.history.rendering import moment_text, sentence


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened to the event. `source` says who knows it: the event's id, the history, the ledger or the
    controls."""

    time: datetime
    source: str
    text: str


@dataclass(frozen=True, slots=True)
class Running:
    """The event runs in a slot of a worker now."""

    worker: WorkerStatus
    slot: SlotStatus


@dataclass(frozen=True, slots=True)
class Known:
    """All that was found about an event. `deferred` is the time in its id; `history_since` is the time of the oldest
    attempt in the history. `decisions` are those about its `letters`. `pauses` are those that hold now, of any queue.
    `silent` are the workers of the site that did not answer.
    """

    id: str
    deferred: datetime | None
    entries: Sequence[Entry]
    letters: Sequence[Dead]
    decisions: Sequence[Redriven | Discarded]
    running: Sequence[Running]
    history_since: datetime | None
    cancellations: Sequence[Cancellation] = ()
    pauses: Sequence[Pause] = ()
    silent: Sequence[Missing] = ()

    @property
    def name(self) -> str | None:
        """The event's name, if anything is known that has it."""
        names = [*(entry.name for entry in self.entries), *(letter.event_name for letter in self.letters)]
        names += [running.slot.event or "" for running in self.running]
        return next(iter(names), None)

    @property
    def keys(self) -> set[str]:
        """The keys of the event: one, or none."""
        return {entry.key for entry in self.entries if entry.key is not None}


def facts_of(known: Known) -> list[Fact]:
    """Return what happened to the event, in the order of time. The history has milliseconds: of facts within one, those
    of the ledger are first, because a worker writes the letter before the attempt counts as settled."""
    facts = [] if known.deferred is None else [Fact(known.deferred, "id", "deferred")]
    facts += [Fact(each.time, "controls", each.error.message) for each in known.cancellations]
    for letter in known.letters:
        where = f"queue {letter.queue}" if letter.queue else "no queue"
        error = ": ".join(filter(None, (letter.error_type, letter.error_message)))
        facts.append(Fact(letter.time, "ledger", f"dead letter {letter.number} of {where} ({letter.reason}): {error}"))
    for decision in known.decisions:
        what = "redriven" if isinstance(decision, Redriven) else "discarded"
        note = f": {decision.note}" if decision.note else ""
        facts.append(Fact(decision.time, "ledger", f"dead letter {decision.letter} {what} by {decision.actor}{note}"))
    facts += [Fact(entry.time, "history", sentence(entry)) for entry in known.entries]
    return sorted(facts, key=lambda fact: round(fact.time.timestamp(), 3))


def present_of(known: Known, now: datetime) -> list[str]:
    """Return a sentence about the present state of the event in each queue that is known to have it."""
    running = [
        f"queue {each.slot.queue}: it runs in worker {each.worker.host}:{each.worker.pid}, child {each.slot.pid},"
        f" attempt {each.slot.attempt}, for {each.slot.seconds or 0:.1f} s"
        f"{'' if each.slot.progress is None else f': {each.slot.progress}'}"
        for each in known.running
    ]
    busy = {each.slot.queue for each in known.running}
    return running + [
        f"queue {queue}: {text}"
        for queue in sorted(_queues(known) - busy)
        if (text := _state_in(known, queue, now)) is not None
    ]


def _pause_in(known: Known, queue: str) -> str:
    """Return why the event may not begin in a queue, as the end of a sentence; empty if it may."""
    pause = pause_of(known.pauses, queue, known.name)
    return "" if pause is None else f"; {pause.reason}"


def unknowns_of(known: Known, *, is_kept: bool) -> list[str]:
    """Return what cannot be known about the event, as sentences for people."""
    found: list[str] = []
    since = known.history_since
    if not is_kept:
        found.append("The settings keep no history, so attempts without a dead letter are not known.")
    elif since is None:
        found.append("The history is empty.")
    elif known.deferred is None:
        found.append(
            f"The history goes back to {moment_text(since)}; older attempts, if there were any, are not known."
        )
    elif known.deferred < since:
        found.append(f"The history goes back to {moment_text(since)} only; older attempts are not known.")
    if not known.running:
        found += [
            f"Worker {each.host}:{each.pid} does not answer: whether the event runs there is not known."
            for each in known.silent
        ]
    if not known.entries and not known.letters and not known.running:
        found.append(
            "An event leaves no trace before its first attempt: this one may wait for it, or was never deferred."
        )
    return found


def to_document(known: Known, now: datetime, unknown: Iterable[str]) -> dict[str, Any]:
    """Return the story as a JSON object for programs."""
    return {
        "id": known.id,
        "name": known.name,
        "key": next(iter(known.keys), None),
        "attempts": [to_json(entry) for entry in known.entries],
        "facts": [
            {"time": fact.time.isoformat(), "source": fact.source, "text": fact.text} for fact in facts_of(known)
        ],
        "now": present_of(known, now),
        "progress": [
            {"queue": each.slot.queue, "attempt": each.slot.attempt, **asdict(each.slot.progress)}
            for each in known.running
            if each.slot.progress is not None
        ],
        "unknown": list(unknown),
    }


def _queues(known: Known) -> set[str]:
    return {entry.queue for entry in known.entries} | {letter.queue for letter in known.letters}


def _state_in(known: Known, queue: str, now: datetime) -> str | None:
    """Return the state of the event in a queue by the last thing that is known of it there."""
    letters = {letter.number: letter for letter in known.letters if letter.queue == queue}
    decided = {decision.letter: decision for decision in known.decisions if decision.letter in letters}
    last = max((entry for entry in known.entries if entry.queue == queue), key=lambda each: each.time, default=None)
    latest = max(letters.values(), key=lambda each: each.number, default=None)
    decision = None if latest is None else decided.get(latest.number)
    if latest is not None and (last is None or not _is_later(last, latest, decision)):
        if decision is None:
            return f"dead; letter {latest.number} waits for a decision (bridge-dlq show {latest.number})"
        if isinstance(decision, Discarded):
            return "dead, and discarded"
        return f"redriven; its next attempt has not ended yet{_pause_in(known, queue)}"
    if last is None:
        return None
    if last.is_final:
        return last.end
    if last.due is not None and last.due > now:
        return f"{last.end}; waits until {moment_text(last.due)}{_pause_in(known, queue)}"
    return f"{last.end}; due, and its next attempt has not ended yet{_pause_in(known, queue)}"


def _is_later(attempt: Entry, letter: Dead, decision: Redriven | Discarded | None) -> bool:
    """Return True if the attempt ended after the letter, and is not the one that the letter is about: that one can be
    settled a while after its letter was written, and then has the reason of the letter. The times are those of the
    clocks of several machines."""
    if attempt.time - letter.time > timedelta(minutes=1):
        return True
    return isinstance(decision, Redriven) and attempt.reason is None and attempt.time > decision.time
