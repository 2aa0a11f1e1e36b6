"""The result of a benchmark: the figures, what they promise, and what limits them. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

BUSY = 0.85
"""The share of a core from which a process counts as busy, and of all cores from which the machine does."""

PROMISE = "publishes confirmed ({kept}); whole requests of the app, acknowledged after them; run again after a kill"
KEPT = {True: "SQLite, fsync", False: "quorum queue, on disk"}
"""By whether the broker is SQLite: where a confirmed event is."""


@dataclass(frozen=True, slots=True)
class Times:
    """The median and the 99th percentile of some times, in milliseconds."""

    p50: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Times":
        """Return the percentiles of these times, at least one, in seconds."""
        ordered = sorted(seconds)
        last = len(ordered) - 1
        return cls(ordered[round(0.5 * last)] * 1000, ordered[round(0.99 * last)] * 1000)

    def __str__(self) -> str:
        return f"{self.p50:.2f} / {self.p99:.2f} ms (p50 / p99)"


@dataclass(frozen=True, slots=True)
class Drain:
    """The drain of a backlog: its events and seconds, and the CPU seconds meanwhile of the worker's process, of its
    children together, and of all else on the machine. `cores` are those of the machine."""

    events: int
    seconds: float
    worker: float
    children: float
    others: float
    processes: int
    cores: int

    @property
    def machine_share(self) -> float:
        """The used share of all cores."""
        return (self.worker + self.children + self.others) / (self.cores * self.seconds)

    @property
    def worker_share(self) -> float:
        """The share of one core that the worker's process used."""
        return self.worker / self.seconds

    @property
    def child_share(self) -> float:
        """The share of one core that each child used, on average."""
        return self.children / (self.processes * self.seconds)


_LIMITS: Sequence[tuple[Callable[[Drain], bool], str]] = (
    (
        lambda drain: drain.machine_share >= BUSY and drain.others > drain.worker + drain.children,
        "other processes of this machine, such as its broker: they use {others:.1f} of {cores} cores. A machine of its "
        "own for the worker, or for the broker, would help",
    ),
    (
        lambda drain: drain.machine_share >= BUSY,
        "the machine: its {cores} cores are busy to {machine:.0%}. More cores, or a second machine, would help",
    ),
    (
        lambda drain: drain.worker_share >= BUSY,
        "the worker's process: it uses {worker:.0%} of a core. A second worker on the same queues would help",
    ),
    (
        lambda drain: drain.child_share >= BUSY,
        "the children: each uses {child:.0%} of a core, and cores are free. More --children would help",
    ),
    (
        lambda drain: True,
        "waiting: the worker uses {worker:.0%} of a core, each child {child:.0%}, and cores are free. The listeners "
        "wait (more --children would help), or the broker does for its disk or network",
    ),
)
"""What limits the events a second: the first line whose condition holds."""


def limit_of(drain: Drain) -> str:
    """Return what limits the events a second, and what would help, for people."""
    text = next(text for holds, text in _LIMITS if holds(drain))
    return text.format(
        cores=drain.cores,
        machine=drain.machine_share,
        worker=drain.worker_share,
        child=drain.child_share,
        others=drain.others / drain.seconds,
    )


@dataclass(frozen=True, slots=True)
class Result:
    """All figures of a run. `publish_rate` is that of many publishes at a time, `publish` the time of one alone.
    `latency` is from just before a publish until the event is settled, at `pace` events a second. `failed` attempts
    ended otherwise than delivered."""

    app: str
    broker: str
    event: str
    promise: str
    publish_rate: float
    publish: Times
    drain: Drain
    pace: int
    latency: Times
    failed: int

    @property
    def rate(self) -> float:
        """The events a second."""
        return self.drain.events / self.drain.seconds

    def microseconds(self, seconds: float) -> float:
        """Return these CPU seconds of the drain as microseconds for each event."""
        return seconds / self.drain.events * 1e6

    def document(self) -> dict[str, Any]:
        """Return the result for JSON. Times are in milliseconds, CPU in microseconds an event."""
        drain = self.drain
        return {
            "app": self.app,
            "broker": self.broker,
            "event": self.event,
            "promise": self.promise,
            "children": drain.processes,
            "cores": drain.cores,
            "events": drain.events,
            "failed": self.failed,
            "publish": {"per_second": round(self.publish_rate), "milliseconds": _rounded(self.publish)},
            "events_per_second": round(self.rate),
            "latency": {"pace": self.pace, "milliseconds": _rounded(self.latency)},
            "cpu_microseconds": {
                name: round(self.microseconds(getattr(drain, name)), 1) for name in ("worker", "children", "others")
            },
            "busy": {
                "worker": round(drain.worker_share, 3),
                "child": round(drain.child_share, 3),
                "machine": round(drain.machine_share, 3),
            },
            "limit": limit_of(drain),
        }

    def text(self) -> str:
        """Return the result for people."""
        drain = self.drain
        worker, children, others = map(self.microseconds, (drain.worker, drain.children, drain.others))
        failed = f"; {self.failed:,} attempts FAILED" if self.failed else ""
        lines = {
            "app": f"{self.app}, {drain.processes} child(ren), event {self.event}",
            "broker": self.broker,
            "promise": self.promise,
            "publish": f"{self.publish_rate:,.0f}/s many at a time; one alone {self.publish}",
            "events": f"{self.rate:,.0f}/s, over {drain.events:,}{failed}",
            "latency": f"{self.latency}, from publish to settled, at {self.pace}/s",
            "CPU": f"an event: worker {worker:.0f} µs, children {children:.0f} µs, all else here {others:.0f} µs",
            "limit": limit_of(drain),
        }
        return "\n".join(f"{name:<9}{line}" for name, line in lines.items())


def _rounded(times: Times) -> dict[str, float]:
    return {name: round(value, 3) for name, value in asdict(times).items()}
