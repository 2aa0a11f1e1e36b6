"""What a person can do on the page. Each act first asks: it says in numbers what it will do, and freezes that in the
token of its form. Then it acts through the same code as the programs, and the record has who and why.

A form that is sent twice acts once: a pause and an order have the id of their form, a resume names the pauses that it
ends, and a cancellation names its event.
"""

import asyncio
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from bridge.cancellations import Cancellation
from bridge.config.dashboard_settings import Role
from bridge.console.option_values import positive_time
from bridge.controls import Pause
from bridge.event import plain_id
from bridge.ledger import Dead
from bridge.topics import check_pattern
from dead_letter.options import interval_of
from dead_letter.rendering import letters_of
from deferred_event_bridge.dashboard.decision_job import DecisionJobs, Order
from deferred_event_bridge.dashboard.screens.asked import Asked, NotThere, Unusable, command, option
from worker.operating.cancel import cancel_events
from worker.operating.queue_acts import begin_pause, resume

MAX_WHY = 300
DEFAULT_RATE = "50/s"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an act's form that the person fills in."""

    name: str
    label: str
    hint: str
    value: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """What an act asks before it acts. `frozen` is signed with the form and comes back unchanged. `back` and `after`
    are the screens to show if the answer is no, and after the act, with their query."""

    title: str
    sentences: tuple[str, ...]
    button: str
    frozen: Mapping[str, Any]
    command: str
    back: tuple[str, Mapping[str, str]]
    after: tuple[str, Mapping[str, str]]
    fields: tuple[Field, ...] = ()
    danger: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """A form that was sent: its frozen content, the person's fields, and who and why for the record."""

    frozen: Mapping[str, Any]
    fields: Mapping[str, str]
    who: str
    why: str


@dataclass(frozen=True, slots=True)
class Act:
    """An act: the role that it needs, its question, and what it does. `do` returns a sentence about what was done."""

    role: Role
    ask: Callable[[Asked], Question]
    do: Callable[[Asked, Sent], str]


@dataclass(frozen=True, slots=True)
class Acts:
    """The acts of a page, by name."""

    jobs: DecisionJobs = field(default_factory=DecisionJobs)

    def table(self) -> Mapping[str, Act]:
        """Return the acts."""
        return {
            "pause": Act(Role.OPERATE, _ask_pause, _pause),
            "resume": Act(Role.OPERATE, _ask_resume, _resume),
            "cancel": Act(Role.OPERATE, _ask_cancel, _cancel),
            "redrive": Act(Role.OPERATE, lambda asked: _ask_decision(asked, "redrive"), self._decide),
            "discard": Act(Role.EDIT, lambda asked: _ask_decision(asked, "discard"), self._decide),
            "stop": Act(Role.OPERATE, self._ask_stop, self._stop),
        }

    def _decide(self, asked: Asked, sent: Sent) -> str:
        verb, numbers = sent.frozen["verb"], sent.frozen["numbers"]
        if numbers is None:
            group, through = sent.frozen["group"], sent.frozen["through"]
            numbers = [letter.number for letter in asked.observer.ledger.letters(group, through=through)]
            numbers = numbers[: _limit(sent.fields.get("limit", ""))]
        by_number = sent.frozen["numbers"] is not None
        interval = 0.0 if verb == "discard" else _interval(sent.fields.get("rate", DEFAULT_RATE))
        order = Order(sent.frozen["id"], verb, numbers, by_number, interval, sent.who, sent.why)
        self.jobs.start(asked.settings, order)
        return f"{'Redriving' if verb == 'redrive' else 'Discarding'} {letters_of(len(numbers))}."

    def _ask_stop(self, asked: Asked) -> Question:
        job = self.jobs.find(asked.text("job") or "")
        if job is None or job.ended is not None:
            raise NotThere("This order has ended, or another process runs it: stop it there.")
        left = job.total - job.tally.done - len(job.tally.skipped)
        return Question(
            title=f"Stop this {job.order.verb}?",
            sentences=(
                f"{job.tally.done:,} of {letters_of(job.total)} are done, and stay done.",
                f"The other {left:,} stay open. You can go on with them later.",
            ),
            button="Stop",
            frozen={"job": job.order.id},
            command="Ctrl-C in the terminal of bridge-dlq",
            back=("redrive", {}),
            after=("redrive", {}),
        )

    def _stop(self, asked: Asked, sent: Sent) -> str:
        job = self.jobs.find(sent.frozen["job"])
        if job is not None:
            job.stop()
        return "Stopping after the current letter."


def _ask_pause(asked: Asked) -> Question:
    queue, events = _target(asked)
    target = f"queue {queue}" if queue is not None else f"events {events}"
    ready = _ready(asked, queue)
    return Question(
        title=f"Pause {target}?",
        sentences=(
            f"No further event of {target} begins, in any worker of the site, within a second.",
            *([f"{ready:,} events are ready now and wait. Nothing is lost."] if ready is not None else []),
            "Events that run finish.",
        ),
        button="Pause",
        frozen={"id": uuid.uuid4().hex, "queue": queue, "events": events},
        command=command("bridge-queues", "pause", queue, *option("--events", events), "--why", "…"),
        back=("now", {}),
        after=("now", {}),
        fields=(Field("for", "For how long", "Such as 30m or 2h. Empty: until somebody resumes it."),),
    )


def _pause(asked: Asked, sent: Sent) -> str:
    seconds = _time(sent.fields.get("for", ""))
    until = None if seconds is None else asked.now + seconds
    frozen = sent.frozen
    new = Pause(frozen["id"], frozen["queue"], frozen["events"], until, sent.who, sent.why, asked.now)
    asyncio.run(begin_pause(asked.settings, new))
    return f"Paused {new.target}."


def _ask_resume(asked: Asked) -> Question:
    queue, events = _target(asked)
    overview = asked.observer.seen().overview
    lines = () if overview is None else overview.lines
    pauses = [each for line in lines for each in line.pauses] + list(overview.pauses if overview else ())
    held = [each for each in pauses if (each.queue, each.events) == (queue, events)]
    if not held:
        raise NotThere(f"{f'Queue {queue}' if queue else f'Events {events}'}: not paused.")
    ready = _ready(asked, queue)
    return Question(
        title=f"Resume {held[0].target}?",
        sentences=(
            *(f"It is {each.reason}." for each in held),
            *([f"{ready:,} events are ready and begin at once, as slots allow."] if ready is not None else []),
            *(
                f"Event {each.event} halted the queue, and runs again first. To end it instead, cancel it before."
                for each in held
                if each.event is not None
            ),
        ),
        button="Resume",
        frozen={"queue": queue, "events": events, "ends": [each.id for each in held]},
        command=command("bridge-queues", "resume", queue, *option("--events", events), "--why", "…"),
        back=("now", {}),
        after=("now", {}),
    )


def _resume(asked: Asked, sent: Sent) -> str:
    frozen = sent.frozen
    queue, events, ends = frozen["queue"], frozen["events"], frozenset(frozen["ends"])
    ended = asyncio.run(resume(asked.settings, queue, events, sent.why, who=sent.who, only=ends))
    target = f"queue {queue}" if queue is not None else f"events {events}"
    return f"Resumed {target}." if ended else f"Nothing was changed: this pause of {target} has ended already."


def _ask_cancel(asked: Asked) -> Question:
    event_id = asked.text("id") or ""
    if not event_id or plain_id(event_id) != event_id:
        raise Unusable("id: expected the whole id of an event")
    running = [
        (worker, slot)
        for worker in asked.observer.seen().roll.workers
        for slot in worker.slots
        if slot.id == event_id and slot.state == "busy"
    ]
    now = tuple(
        f"It runs now, for {slot.seconds or 0:.0f} s, in {worker.host}:{worker.pid}: its child {slot.pid} is killed."
        for worker, slot in running
    )
    return Question(
        title="End this event?",
        sentences=(*now, "If it has not begun, it does not begin any more.", "It becomes a dead letter: cancelled."),
        button="End the event",
        frozen={"id": event_id, "running": bool(running)},
        command=command("bridge-events", "cancel", event_id, "--running" if running else None, "--why", "…"),
        back=("event", {"id": event_id}),
        after=("event", {"id": event_id}),
        danger=True,
    )


def _cancel(asked: Asked, sent: Sent) -> str:
    wished = Cancellation(sent.frozen["id"], sent.frozen["running"], sent.who, sent.why, asked.now)
    asyncio.run(cancel_events(asked.settings, [wished]))
    return "Cancelled the event. It ends when its turn comes."


def _ask_decision(asked: Asked, verb: str) -> Question:
    """Ask about one letter (`number`), one group (`group`), or all letters."""
    number, group = asked.text("number"), asked.text("group")
    asked.observer.seen()
    ledger = asked.observer.ledger
    left_out = 0
    if number is not None:
        letters = [letter for letter in ledger.letters() if str(letter.number) == number]
        back: tuple[str, Mapping[str, str]] = ("letter", {"number": number})
    else:
        found = ledger.letters(group)
        letters = [letter for letter in found if verb == "discard" or _is_redriven_in_groups(letter)]
        left_out = len(found) - len(letters)
        back = ("group", {"group_id": group}) if group is not None else ("failing", {})
    if not letters and left_out:
        raise NotThere("These letters are of cancelled events, or not signed: redrive each on its own page.")
    if not letters:
        raise NotThere("No open letter is selected. All of them were decided, or the ledger is still being read.")
    return Question(
        title=f"{verb.capitalize()} {letters_of(len(letters))}?",
        sentences=_consequences(verb, letters, left_out),
        button=verb.capitalize(),
        frozen={
            "id": uuid.uuid4().hex,
            "verb": verb,
            "numbers": None if number is None else [letters[0].number],
            "group": group,
            "through": letters[-1].number,
        },
        command=_decision_command(verb, letters, number, group),
        back=back,
        after=("redrive", {}),
        fields=() if number is not None else _decision_fields(verb),
        danger=verb == "discard",
    )


def _decision_fields(verb: str) -> tuple[Field, ...]:
    limit = Field("limit", "Only the oldest", "A number of letters, such as 1 to try first. Empty: all of them.")
    if verb == "discard":
        return (limit,)
    return (limit, Field("rate", "Rate", "Such as 50/s, 10/m or 100/h.", DEFAULT_RATE, required=True))


def _is_redriven_in_groups(letter: Dead) -> bool:
    """Return False for a letter that is redriven only if somebody names it: see `LetterReader`."""
    return letter.believed and letter.reason != "cancelled"


def _consequences(verb: str, letters: list[Dead], left_out: int) -> tuple[str, ...]:
    queues = sorted({letter.queue or "no queue" for letter in letters})
    named = f"{', '.join(queues[:5])}{' …' if len(queues) > 5 else ''}"
    of = f"They died in {named}; the oldest is number {letters[0].number}."
    if verb == "discard":
        return of, "They are closed without another attempt. Their record stays in the ledger."
    return (
        of,
        "Each goes back to its own queue and begins a new round of attempts, with the same id.",
        "Letters that die from now on are not among them.",
        *([f"{left_out:,} more are left out: of cancelled events, or not signed."] if left_out else []),
        f"At {DEFAULT_RATE} all of them take {len(letters) * interval_of(DEFAULT_RATE):,.0f} s.",
    )


def _decision_command(verb: str, letters: list[Dead], number: str | None, group: str | None) -> str:
    if number is not None:
        return command("bridge-dlq", verb, number, "--reason", "…")
    first = letters[0]
    words = ("--event", first.event_name, *option("--queue", first.queue or None), "--error", first.error_type)
    rate = ("--rate", DEFAULT_RATE) if verb == "redrive" else ()
    return command("bridge-dlq", verb, *(words if group is not None else ()), *rate, "--reason", "…")


def _target(asked: Asked) -> tuple[str | None, str | None]:
    queue, events = asked.text("queue"), asked.text("events")
    if (queue is None) == (events is None):
        raise Unusable("expected either a queue or events in the URL")
    names = [each.name for each in asked.settings.queues()]
    if queue is not None and queue not in names:
        raise NotThere(f"queue {queue!r:.100}: expected one of {', '.join(names)}")
    if events is not None:
        try:
            check_pattern(events)
        except ValueError as error:
            raise Unusable(f"events: {error}") from error
    return queue, events


def _ready(asked: Asked, queue: str | None) -> int | None:
    overview = asked.observer.seen().overview
    line = next((each for each in overview.lines if each.queue.name == queue), None) if overview else None
    return None if line is None or line.counts is None else sum(line.counts.ready.values())


def _time(text: str) -> timedelta | None:
    if not text.strip():
        return None
    try:
        return positive_time(text.strip())
    except ValueError as error:
        raise Unusable(f"For how long: {error}") from error


def _limit(text: str) -> int | None:
    text = text.strip().replace(",", "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not int(text[:10]) > 0:
        raise Unusable(f"Only the oldest: {text!r:.40}: expected a number of letters, such as 10")
    return int(text[:10])


def _interval(text: str) -> float:
    try:
        return interval_of(text)
    except ValueError as error:
        raise Unusable(f"Rate: {error}") from error
