"""Finds the values that all members of a group share, as one line: release, queue, event, source, payload keys."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bridge.event import Event
from bridge.failures.groups import FailureGroup

KEYS_SHOWN = 6
"""Most keys of the payload in the line, the most frequent first."""

MAX_KEY = 60
SHARED_BY = 0.9
"""A value that at least this part of all members have is named with its count; else the number of values is given."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The sources of some members' events and the keys of their payloads, each with the number of members that have it.
    `size` is the number of members that were read."""

    size: int = 0
    sources: Mapping[str, int] = field(default_factory=dict)
    keys: Mapping[str, int] = field(default_factory=dict)


def sample_of(events: Iterable[Event]) -> Sample:
    """Return the sample of these events."""
    sources: Counter[str] = Counter()
    keys: Counter[str] = Counter()
    for event in events:
        sources[event.source] += 1
        keys.update(payload_keys(event))
    return Sample(sources.total(), dict(sources.most_common()), dict(keys.most_common()))


def payload_keys(event: Event) -> Sequence[str]:
    """Return the keys of the payload if it is a JSON object; else nothing."""
    try:
        value = json.loads(event.data)
    except (ValueError, RecursionError):
        return ()
    return tuple(value) if isinstance(value, dict) else ()


def in_common(group: FailureGroup, sample: Sample) -> str:
    """Return the line: `release v42 · queue mail · event order.paid · source shop · payload has id; coupon in 3 of 20`.
    A value that all members have stands alone, one that nearly all have with its count."""
    parts = [
        _shared("release", "releases", {str(name or "none"): count for name, count in group.releases.items()}),
        _shared("queue", "queues", {name or "none": count for name, count in group.queues.items()}),
        _shared("event", "events", group.events),
        _shared("source", "sources", sample.sources),
        _keys(sample),
    ]
    return " · ".join(part for part in parts if part)


def _shared(one: str, many: str, counts: Mapping[str, int]) -> str:
    if not counts:
        return ""
    total = sum(counts.values())
    name, count = max(counts.items(), key=lambda item: item[1])
    if count == total:
        return f"{one} {name}"
    return f"{one} {name} in {count:,} of {total:,}" if count >= SHARED_BY * total else f"{len(counts):,} {many}"


def _keys(sample: Sample) -> str:
    shown = list(sample.keys.items())[:KEYS_SHOWN]
    if not shown:
        return ""
    in_all = [key[:MAX_KEY] for key, count in shown if count == sample.size]
    in_some = [f"{key[:MAX_KEY]} in {count:,} of {sample.size:,}" for key, count in shown if count < sample.size]
    more = ["…"] if len(sample.keys) > len(shown) else []
    return "payload has " + "; ".join([", ".join(in_all)] * bool(in_all) + in_some + more)
