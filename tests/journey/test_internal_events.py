"""Internal events: what a worker publishes about dead letters and lost children, and which queues get it."""

import json
import signal

import pytest

from bridge.site_logs import WORKERS
from tests.journey.site import Site, eventually

ALERTS = """
retry = {attempts = 2, initial = "1s", base = 1, jitter = 0}

[queues.all]
patterns = ["#", "*.dead_letter.#"]

[queues.default]

[queues.alerts]
patterns = ["bridge.dead_letter.#", "bridge.child.lost", "bridge.queue.*"]
"""


async def test_a_queue_that_names_internal_events_gets_one_for_each(site: Site) -> None:
    """A dead letter, a lost child and a pause cause one event each. Its own dead letter and its own lost children cause
    none. Queues with `#` and the catch-all get no internal event."""
    site.configure(ALERTS)
    rejected, killing = [*await site.defer("do.this", "reject"), *await site.defer("do.this", "kill", "ok")]
    worker = site.worker(app="alerting:app")
    await eventually(lambda: worker.log.count("dead letter (") == 3, report=lambda: worker.log)
    following = await site.defer("do.this", "ok")
    await eventually(lambda: bool(site.effects(id=following[0], began=False)), report=lambda: worker.log)

    letters = await site.letters()
    alerts = [(effect.name, effect.attempt, json.loads(effect.step)) for effect in site.effects(queue="alerts")]
    (dead,) = [payload for name, _, payload in alerts if name == "bridge.dead_letter.rejected"]
    lost = [payload for name, _, payload in alerts if name == "bridge.child.lost"]
    assert dead | {"worker": None} == {
        "id": rejected,
        "name": "do.this",
        "queue": "all",
        "reason": "rejected",
        "attempts": 1,
        "error": {"type": "Reject", "message": "never", "traceback": None},
        "number": dead["number"],
        "worker": None,
    }
    shown = site.run("bridge-dlq", "show", str(dead["number"]), "--json")
    assert await shown.ended() == 0, shown.log
    assert json.loads(shown.log)["event"]["id"] == rejected
    assert dead["worker"]["pid"] == worker.process.pid
    assert [attempt for name, attempt, _ in alerts if name == "bridge.child.lost"] == [1, 2]
    assert {payload["event"] for payload in lost} == {"do.this"}
    assert {effect.queue for effect in site.effects() if effect.name.startswith("bridge.")} == {"alerts"}
    assert {letter.envelope.event.name for letter in letters} == {
        "do.this",
        "bridge.dead_letter.rejected",
        "bridge.child.lost",
    }
    assert site.effects(id=killing, attempt=2, began=False)

    paused = site.run("bridge-queues", "pause", "default", "--why", "provider down")
    assert await paused.ended() == 0, paused.log
    await eventually(lambda: bool(site.effects(name="bridge.queue.paused")), report=lambda: worker.log)
    (pause,) = [json.loads(effect.step) for effect in site.effects(name="bridge.queue.paused")]
    assert (pause["queue"], pause["why"], pause["until"]) == ("default", "provider down", None)


@pytest.mark.long
async def test_a_killed_worker_is_told_of_by_another(site: Site) -> None:
    """The worker that runs on publishes one event about it."""
    site.configure(ALERTS.replace("bridge.child.lost", "bridge.worker.missing"))
    first, second = site.worker(app="alerting:app"), site.worker(app="alerting:app")
    async with site.broker() as broker:
        log = broker.log(WORKERS.name, WORKERS.retention)
        recorded: set[int] = set()
        while recorded != {first.process.pid, second.process.pid}:
            recorded = {record.content["pid"] async for record in log.read_back()}
    first.signal(signal.SIGKILL)

    await eventually(lambda: bool(site.effects(queue="alerts")), report=lambda: second.log)
    (alert,) = site.effects(queue="alerts", name="bridge.worker.missing")
    assert json.loads(alert.step)["pid"] == first.process.pid
    assert "a worker is missing" in second.log
