"""The words by which workers tell each other that a breaker has opened or closed, and are asked to probe at once. Pure.

A worker whose breaker opens tells the others, and a worker that starts asks them which events they hold. A person asks
for probes after a repair, and a worker does when its breaker has closed.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from bridge.attempt import Error
from bridge.logs import Content
from bridge.topics import is_name

SUBJECT = "probes"
"""The subject of the broadcast."""

MOST_HELD = 50
"""The most event names that one message tells of."""


_WORKER = re.compile(r"[!-~]{1,300}:[0-9]{1,10}")


class Held(NamedTuple):
    """The events of a queue with this `name` (None: all) that are held, because so many (`events`) in a row failed with
    `error` in a `worker`, `host:pid`."""

    queue: str
    name: str | None
    events: int
    error: Error
    worker: str


class ProbeAsked(NamedTuple):
    """A probe of the events of a queue with this name (None: of all that are held). `closed_in` is the worker,
    `host:pid`, that asks because its breaker has closed; None if a person asks."""

    queue: str
    name: str | None = None
    closed_in: str | None = None


def question_of_held(queues: Iterable[str]) -> Content:
    """Return the question of a worker that starts: which events of these queues are held?"""
    return {"held_of": sorted(queues)}


def queues_asked(content: Content) -> frozenset[str] | None:
    """Return the queues that a question asks for, None if it is not such a question."""
    return _texts(content["held_of"]) if "held_of" in content else None


def answer_of_held(queues: Iterable[str], held: Iterable[Held]) -> Content:
    """Return the answer of a worker that has breakers for these queues, and holds these events."""
    return {**words_of(held), "of": sorted(queues)}


def queues_answered(answers: Iterable[Content]) -> frozenset[str]:
    """Return the queues that the answers tell of."""
    return frozenset[str]().union(*(_texts(answer.get("of")) for answer in answers))


def words_of(held: Iterable[Held]) -> Content:
    """Return the message that these events are held."""
    return {
        "held": [
            {"queue": queue, "name": name, "events": events, "type": error.type, "message": error.message, "in": worker}
            for queue, name, events, error, worker in list(held)[:MOST_HELD]
        ]
    }


def held_in(content: Content) -> Iterator[Held]:
    """Iterate over the held events of a message; over none if it tells of none. What is not as a worker writes it is
    left out: it reaches logs and screens."""
    told = content.get("held")
    for each in told if isinstance(told, list) else ():
        match each:
            case {
                "queue": str(queue),
                "name": str(name) | (None as name),
                "events": int(events),
                "type": str(type),
                "message": str(message),
                "in": str(worker),
            } if (name is None or is_name(name)) and events > 0 and _WORKER.fullmatch(worker):
                yield Held(queue, name, events, Error(type, message).bounded(), worker)


def _texts(values: object) -> frozenset[str]:
    return frozenset(each for each in values if isinstance(each, str)) if isinstance(values, list) else frozenset()


def question_of(asked: ProbeAsked) -> Content:
    """Return the question for a probe."""
    return {"probe": asked.queue, "name": asked.name, "closed_in": asked.closed_in}


def probe_in(content: Content) -> ProbeAsked | None:
    """Return the probe that a question asks for, None if it is not such a question."""
    match content:
        case {
            "probe": str(queue),
            "name": str(name) | (None as name),
            "closed_in": str(closed_in) | (None as closed_in),
        }:
            return ProbeAsked(queue, name, closed_in)
    return None


def answer_of(instance: str) -> Content:
    """Return the answer of the worker `instance` that its probe is due now."""
    return {"worker": instance}


def instances_in(answers: Sequence[Content]) -> frozenset[str]:
    """Return the workers that have answered, by instance."""
    found = (answer.get("worker") for answer in answers)
    return frozenset(instance for instance in found if isinstance(instance, str))
