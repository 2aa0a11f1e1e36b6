"""The measured figures as values, and their JSON form between the processes of a run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Times:
    """The median and the 99th percentile of some times, in seconds."""

    p50: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Times":
        """Return the percentiles of these times, at least one."""
        ordered = sorted(seconds)
        last = len(ordered) - 1
        return cls(ordered[round(0.5 * last)], ordered[round(0.99 * last)])


@dataclass(frozen=True, slots=True)
class Drain:
    """The drain of a backlog: events a second, CPU microseconds an event by role, and resident memory in bytes."""

    per_second: float
    cpu: Mapping[str, float]
    worker_memory: int
    child_memory: int


@dataclass(frozen=True, slots=True)
class Result:
    """One contender's figures; `latency` and `drain` are None if only its sending was measured."""

    name: str
    sending: Times
    latency: Times | None = None
    drain: Drain | None = None


def to_json(result: Result) -> str:
    """Return the result as one line."""
    return json.dumps(asdict(result))


def from_json(line: str) -> Result:
    """Return the result of a line that `to_json` wrote."""
    fields: dict[str, Any] = json.loads(line)
    latency, drain = fields["latency"], fields["drain"]
    return Result(
        name=fields["name"],
        sending=Times(**fields["sending"]),
        latency=latency and Times(**latency),
        drain=drain and Drain(**drain),
    )
