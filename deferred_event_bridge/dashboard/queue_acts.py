"""The acts about queues and running events: pause, resume, purge, end an event."""

import asyncio
import uuid
from datetime import timedelta

from bridge.cancellations import Cancellation
from bridge.config.dashboard_settings import Role
from bridge.console.option_values import positive_time
from bridge.controls import Pause, Purge
from bridge.event import plain_id
from bridge.topics import check_pattern
from deferred_event_bridge.dashboard.asking import Act, Field, Question, Sent
from deferred_event_bridge.dashboard.screens.asked import Asked, NotThere, Unusable, command, option
from worker.operating.cancel import cancel_events
from worker.operating.queue_acts import QueueLine, begin_pause, carry_out_purge, resume


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


def _ask_purge(asked: Asked) -> Question:
    queue, _ = _target(asked)
    if queue is None:
        raise Unusable("queue: expected the name of a queue in the URL")
    line = _line(asked, queue)
    if line is None or line.counts is None:
        raise NotThere(f"Queue {queue} is not on the broker yet, or was not seen yet.")
    ready, held = sum(line.counts.ready.values()), line.held
    return Question(
        title=f"Delete the {ready:,} ready events of queue {queue}?",
        sentences=(
            f"The {ready:,} events that are ready in queue {queue} are deleted for good, and those that come until "
            "then. They do not become dead letters, and nobody can bring them back.",
            f"{f'The {held:,} events' if held is not None else 'Events'} that workers have in hand finish. Events that "
            "wait for their time stay.",
            "The number of deleted events is recorded.",
        ),
        button="Delete them",
        frozen={"id": uuid.uuid4().hex, "queue": queue},
        command=command("bridge-queues", "purge", queue, "--why", "…"),
        back=("now", {}),
        after=("now", {}),
        danger=True,
    )


def _purge(asked: Asked, sent: Sent) -> str:
    wished = Purge(sent.frozen["id"], sent.frozen["queue"], None, sent.who, sent.why, asked.now)
    done = asyncio.run(carry_out_purge(asked.settings, wished))
    if done.events is None:
        return f"The purge of queue {done.queue} was begun already."
    return f"Deleted {done.events:,} events of queue {done.queue}."


def _ask_cancel(asked: Asked) -> Question:
    event_id = asked.text("id") or ""
    if not event_id or plain_id(event_id) != event_id:
        raise Unusable("id: expected the whole id of an event")
    roll = asked.observer.seen().roll
    running = [
        (worker, slot)
        for worker in (roll.workers if roll is not None else ())
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
    line = _line(asked, queue)
    return None if line is None or line.counts is None else sum(line.counts.ready.values())


def _line(asked: Asked, queue: str | None) -> QueueLine | None:
    overview = asked.observer.seen().overview
    return next((each for each in overview.lines if each.queue.name == queue), None) if overview else None


def _time(text: str) -> timedelta | None:
    if not text.strip():
        return None
    try:
        return positive_time(text.strip())
    except ValueError as error:
        raise Unusable(f"For how long: {error}") from error


PAUSE = Act(Role.OPERATE, _ask_pause, _pause)
RESUME = Act(Role.OPERATE, _ask_resume, _resume)
PURGE = Act(Role.EDIT, _ask_purge, _purge)
CANCEL = Act(Role.OPERATE, _ask_cancel, _cancel)
