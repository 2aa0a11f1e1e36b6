"""The metrics, as Prometheus' own library reads them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge.brokers.contract.consuming import Backlog
from bridge.moments import ChildLost, Settled, Taken
from bridge.outcome import Succeeded
from bridge.settlement import Ack, DeadLetter
from bridge.status import OutboxStatus
from bridge.watchers.prometheus import Metrics
from tests.unit.bridge.examples import ERROR, envelope
from tests.unit.bridge.statuses import BUSY, WORKER

BACKLOG = {"mail": Backlog(ready=7, held=1, waiting=3)}
SHOP = OutboxStatus(outbox="shop", events=7, oldest=12.5, trouble=None)
Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def settled(queue: str = "mail", seconds: float = 0.2) -> Settled:
    """Return the moment of a success."""
    return Settled(envelope(), queue, Succeeded(), Ack(), seconds)


@pytest.fixture
def metrics() -> Metrics:
    """Metrics that have counted two successes, a dead letter and a lost child."""
    metrics = Metrics()
    metrics(Taken(envelope(), "mail"))
    metrics(settled())
    metrics(settled(seconds=45.0))
    metrics(replace(settled("default"), settlement=DeadLetter(envelope(), "rejected", ERROR)))
    metrics(ChildLost(12, "crashed", 7))
    return metrics


def samples(text: str) -> Samples:
    """Return the samples of an exposition, by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def at(found: Samples, name: str, **labels: str) -> float:
    """Return the value of a sample."""
    return found[name, frozenset(labels.items())]


def test_counters_and_durations(metrics: Metrics) -> None:
    """Attempts are counted by queue and outcome, and their durations by queue."""
    found = samples(metrics.text(WORKER, BACKLOG, [SHOP], ready=True))

    assert at(found, "bridge_attempts_total", queue="mail", outcome="delivered") == 2
    assert at(found, "bridge_attempts_total", queue="default", outcome="dead") == 1
    assert at(found, "bridge_attempt_duration_seconds_sum", queue="mail") == 45.2
    assert at(found, "bridge_attempt_duration_seconds_bucket", queue="mail", le="0.25") == 1
    assert at(found, "bridge_children_lost_total") == 1


def test_gauges(metrics: Metrics) -> None:
    """The status and the counts of the queues are gauges. A queue that the broker has not counted has no count."""
    busy = replace(WORKER, slots=(BUSY, BUSY, *WORKER.slots[1:]), running=5)
    found = samples(metrics.text(busy, BACKLOG, ready=False))

    assert (at(found, "bridge_ready"), at(found, "bridge_broker_up"), at(found, "bridge_events_in_hand")) == (0, 1, 5)
    assert [at(found, "bridge_slots", state=state) for state in ("busy", "idle", "booting", "spare")] == [2, 0, 1, 1]
    assert at(found, "bridge_queue_live", queue="default") == 1
    assert at(found, "bridge_queue_ready_events", queue="mail") == 7
    assert ("bridge_queue_ready_events", frozenset({("queue", "default")})) not in found
    assert at(found, "bridge_worker_info", app="shop:app", version="1.0", release="v7") == 1
    assert at(found, "process_start_time_seconds") > 0


def test_outboxes(metrics: Metrics) -> None:
    """What waits in each. One that cannot be looked at has trouble and no count, so that it does not look empty."""
    empty = OutboxStatus(outbox="mail", events=0, oldest=None, trouble=None)
    away = OutboxStatus(outbox="away", events=0, oldest=None, trouble="no answer within 7 s")
    found = samples(metrics.text(WORKER, {}, [SHOP, empty, away], ready=True))

    assert [at(found, "bridge_outbox_events", outbox=each) for each in ("shop", "mail")] == [7, 0]
    assert [at(found, "bridge_outbox_oldest_seconds", outbox=each) for each in ("shop", "mail")] == [12.5, 0]
    assert [at(found, "bridge_outbox_trouble", outbox=each) for each in ("shop", "mail", "away")] == [0, 0, 1]
    assert ("bridge_outbox_events", frozenset({("outbox", "away")})) not in found


def test_the_status_of_the_last_time_is_forgotten(metrics: Metrics) -> None:
    """Each exposition has the present status only."""
    metrics.text(WORKER, BACKLOG, [SHOP], ready=True)

    assert at(samples(metrics.text(WORKER, {}, ready=False)), "bridge_ready") == 0


def test_the_names_follow_the_conventions(metrics: Metrics) -> None:
    """As promtool checks: counters end in _total, times in seconds, gauges in neither _total nor _count; each has a
    help, and no label names an event."""
    for family in text_string_to_metric_families(metrics.text(WORKER, BACKLOG, [SHOP], ready=True)):
        if not family.name.startswith("bridge_"):
            continue
        assert family.documentation.endswith(".")
        names = {sample.name for sample in family.samples} or {family.name}
        if family.type == "counter":
            assert names <= {f"{family.name}_total", f"{family.name}_created"}
        elif family.type == "gauge":
            assert not family.name.endswith(("_total", "_count", "_sum", "_bucket"))
        assert not any(unit in family.name for unit in ("_ms", "_milliseconds", "_minutes", "_kib"))
        labels = {label for sample in family.samples for label in sample.labels}
        assert labels <= {"queue", "outbox", "outcome", "state", "le", "app", "version", "release"}


def test_every_metric_is_documented(metrics: Metrics) -> None:
    """docs/monitoring.md has a row for each, with its type and its labels."""
    page = (Path(__file__).parents[4] / "docs" / "monitoring.md").read_text("utf-8")
    rows = {row[0].strip("` "): row for line in page.splitlines() if len(row := line.strip("|").split("|")) == 4}
    documented = {name for name in rows if name.startswith("bridge_")}
    existing = set()
    for family in text_string_to_metric_families(metrics.text(WORKER, BACKLOG, [SHOP], ready=True)):
        if family.name.startswith("bridge_") and not family.name.endswith("_created"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            existing.add(name)
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            assert rows[name][1].strip() == family.type
            assert {each.strip("` ") for each in rows[name][2].split(",")} - {""} == labels
    assert documented == existing
