"""The metrics of a worker for Prometheus. Needs the extra `prometheus`.

Counters and the histogram count moments; gauges are read from the worker's status when Prometheus asks. Labels are the
queue, the outbox, the outcome and the state: each has as many values as the settings and the program have words. The
event's name is no label, because publishers choose it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from bridge.brokers.contract.consuming import Backlog
from bridge.history import end_of
from bridge.moments import ChildLost, Moment, Settled
from bridge.status import OutboxStatus, WorkerStatus

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper limits of the durations in seconds: a page of an app takes milliseconds, a report minutes."""

STATES = ("booting", "idle", "busy", "spare", "retiring")


class Metrics:
    """A watcher that counts, and the text for Prometheus. Metrics belong to a registry of their own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._attempts = Counter("bridge_attempts_total", "Settled attempts.", ("queue", "outcome"), registry=registry)
        self._duration = Histogram(
            "bridge_attempt_duration_seconds", "Durations of replays.", ("queue",), registry=registry, buckets=BUCKETS
        )
        self._lost = Counter(
            "bridge_children_lost_total", "Children that crashed or timed out, and were replaced.", registry=registry
        )
        ProcessCollector(registry=registry)
        self._of_status = _OfStatus()
        registry.register(self._of_status)

    def hears(self, kind: type) -> bool:
        """Return whether moments of this type are counted."""
        return kind in (Settled, ChildLost)

    def __call__(self, moment: Moment) -> None:
        match moment:
            case Settled():
                self._attempts.labels(moment.queue, end_of(moment.settlement)).inc()
                self._duration.labels(moment.queue).observe(moment.seconds)
            case ChildLost():
                self._lost.inc()

    def text(
        self,
        status: WorkerStatus,
        backlog: Mapping[str, Backlog],
        outboxes: Iterable[OutboxStatus] = (),
        *,
        ready: bool,
    ) -> str:
        """Return the exposition of all metrics. `backlog` may lack queues whose events the broker has not counted."""
        self._of_status.families = [*_families(status, backlog, ready=ready), *_of_outboxes(tuple(outboxes))]
        return generate_latest(self._registry).decode()


class _OfStatus(Collector):
    """The gauges of the status of the moment."""

    def __init__(self) -> None:
        self.families: list[Metric] = []

    def collect(self) -> Iterator[Metric]:
        yield from self.families


def _families(status: WorkerStatus, backlog: Mapping[str, Backlog], *, ready: bool) -> Iterator[Metric]:
    serving = status.serving
    about = {"app": status.app, "version": status.version, "release": status.release or ""}
    yield InfoMetricFamily("bridge_worker", "The worker.", about)
    for name, text, value in (
        ("bridge_ready", "1 if the worker takes events and settles them.", ready),
        ("bridge_broker_up", "1 if the worker takes events from at least one queue.", _is_up(status)),
        ("bridge_events_in_hand", "Events that the worker holds, waiting for a slot or running.", status.running),
        ("bridge_unconfirmed_settlements", "Settlements that the broker does not confirm.", serving.unconfirmed),
        ("bridge_oldest_event_late_seconds", "Time since the oldest event in hand was due.", serving.late),
        ("bridge_last_settled_seconds", "Time since an event was settled, while events are in hand.", serving.progress),
    ):
        yield GaugeMetricFamily(name, text, float(value))
    yield _labelled("bridge_slots", "Slots and their spares by state.", "state", _by_state(status))
    queues = serving.queues
    live = {name: float(queue.live) for name, queue in queues.items()}
    held_back = {name: float(queue.waits is not None) for name, queue in queues.items()}
    ready_events = {name: float(backlog[name].ready) for name in queues if name in backlog}
    waiting = {name: float(backlog[name].waiting) for name in queues if name in backlog}
    for name, text, values in (
        ("bridge_queue_live", "1 if the worker has a live consumer on the queue.", live),
        ("bridge_queue_held_back", "1 if the next event of the queue may not begin now.", held_back),
        ("bridge_queue_ready_events", "Events of the queue that are due, on the broker.", ready_events),
        ("bridge_queue_waiting_events", "Events that wait for their time; RabbitMQ: of all queues.", waiting),
    ):
        yield _labelled(name, text, "queue", values)


def _of_outboxes(outboxes: Sequence[OutboxStatus]) -> Iterator[Metric]:
    """Yield the gauges of outboxes. One that cannot be looked at has no count."""
    seen = [each for each in outboxes if each.trouble is None]
    events = {each.outbox: float(each.events) for each in seen}
    oldest = {each.outbox: each.oldest or 0.0 for each in seen}
    trouble = {each.outbox: float(each.trouble is not None) for each in outboxes}
    for name, text, values in (
        ("bridge_outbox_events", "Events in the outbox.", events),
        ("bridge_outbox_oldest_seconds", "Age of its oldest event.", oldest),
        ("bridge_outbox_trouble", "1 if this worker cannot look at the outbox.", trouble),
    ):
        yield _labelled(name, text, "outbox", values)


def _labelled(name: str, text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), value)
    return family


def _by_state(status: WorkerStatus) -> Mapping[str, float]:
    states: list[str] = [slot.state for slot in status.slots]
    return {state: float(states.count(state)) for state in STATES}


def _is_up(status: WorkerStatus) -> bool:
    return any(queue.live for queue in status.serving.queues.values())
