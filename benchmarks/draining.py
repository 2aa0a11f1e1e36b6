"""The drain of a backlog by a running worker: its speed and its CPU by role."""

from dataclasses import dataclass

from benchmarks import records
from benchmarks.footprint import Footprint, footprint
from benchmarks.running_worker import RunningWorker

BOOTED_SHARE = 0.1
"""The clock starts when this share of the backlog is handled, since all processes of the worker have booted then."""


@dataclass(frozen=True, slots=True)
class Drain:
    """A drain after its first tenth. `before` and `after` are the footprints at its start and end."""

    events: int
    per_second: float
    before: Footprint
    after: Footprint

    @property
    def cpu(self) -> dict[str, float]:
        """The CPU microseconds an event, by role."""
        return {role: seconds / self.events * 1e6 for role, seconds in self.after.cpu_since(self.before).items()}


def drained(worker: RunningWorker, backlog: int, broker: int | None = None) -> Drain:
    """Wait until the worker has drained its backlog of this many events. `broker` is the pid of its broker, if any."""
    booted = worker.handled(round(backlog * BOOTED_SHARE))
    before = footprint(worker.pid, broker)
    events = worker.handled(backlog) - booted
    after = footprint(worker.pid, broker)
    moments = [moment for _, moment in records.read(worker.records)][booted - 1 :]
    return Drain(
        events=events,
        per_second=_rate(moments),
        before=before,
        after=after,
    )


def _rate(moments: list[float]) -> float:
    return (len(moments) - 1) / (moments[-1] - moments[0])
