"""The Grafana dashboard asks for metrics and labels that exist."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge.brokers.contract.consuming import Backlog
from bridge.moments import ChildLost, Settled
from bridge.outcome import Succeeded
from bridge.settlement import Ack
from bridge.status import OutboxStatus
from bridge.watchers.prometheus import Metrics
from tests.unit.bridge.examples import envelope
from tests.unit.bridge.statuses import WORKER

DASHBOARD: dict[str, Any] = json.loads(
    (Path(__file__).parents[3] / "examples" / "grafana" / "deferred-events.json").read_text("utf-8")
)
SHOP = OutboxStatus(outbox="shop", events=1, oldest=2.0, trouble=None)
OF_PROMETHEUS = {"job", "instance"}
"""The labels that Prometheus adds to each sample."""


def queries() -> list[str]:
    """Return the query of each curve of each panel."""
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def exposed() -> dict[str, set[str]]:
    """Return the samples of a worker that has settled an event, with their labels."""
    metrics = Metrics()
    metrics(Settled(envelope(), "mail", Succeeded(), Ack(), 0.1))
    metrics(ChildLost(12, "crashed", 7))
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.text(WORKER, {"mail": Backlog(1, 2, 3)}, [SHOP], ready=True)):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.parametrize("query", queries())
def test_every_query_names_what_exists(query: str) -> None:
    """Each metric of a query exists and has the labels that the query groups or filters by."""
    known = exposed()
    names = re.findall(r"\b((?:bridge|process)_[a-z_]+)", query)
    assert names
    for name in names:
        assert name in known
    labels = {each.strip() for group in re.findall(r"by \(([^)]*)\)", query) for each in group.split(",")}
    labels |= set(re.findall(r"([a-z]+)=~?\"", query))
    assert labels <= set.union(*(known[name] for name in names)) | OF_PROMETHEUS


def test_every_metric_is_shown() -> None:
    """Each metric of the bridge has a panel, as docs/monitoring.md says."""
    shown = " ".join(queries())
    names = {re.sub(r"_(created|total|sum|count|bucket)$", "", name) for name in exposed()}
    bridge = {name for name in names if name.startswith("bridge_")}
    assert {name for name in bridge if name not in shown} == set()
