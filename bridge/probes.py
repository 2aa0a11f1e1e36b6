"""The words by which workers are asked to probe at once, and by which they answer. Pure.

A person asks after a repair. A worker whose breaker has closed asks the others.
"""

from collections.abc import Sequence
from typing import NamedTuple

from bridge.logs import Content

SUBJECT = "probes"
"""The subject of the broadcast."""


class ProbeAsked(NamedTuple):
    """A probe of the events of a queue with this name (None: of all that are held)."""

    queue: str
    name: str | None = None


def question_of(asked: ProbeAsked) -> Content:
    """Return the question for a probe."""
    return {"probe": asked.queue, "name": asked.name}


def probe_in(content: Content) -> ProbeAsked | None:
    """Return the probe that a question asks for, None if it is not such a question."""
    match content:
        case {"probe": str(queue), "name": str(name) | (None as name)}:
            return ProbeAsked(queue, name)
    return None


def answer_of(instance: str) -> Content:
    """Return the answer of the worker `instance` that its probe is due now."""
    return {"worker": instance}


def instances_in(answers: Sequence[Content]) -> frozenset[str]:
    """Return the workers that have answered, by instance."""
    found = (answer.get("worker") for answer in answers)
    return frozenset(instance for instance in found if isinstance(instance, str))
