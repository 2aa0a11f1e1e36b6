"""The worker's own HTTP, on both brokers: metrics, whether it is ready, and its status."""

import asyncio
import json
import signal
import urllib.error
import urllib.request

from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from app_adapter.outgoing import Outgoing
from app_adapter.sqlalchemy.outbox import write
from bridge.publishing.outbox.tables import tables
from tests.events import new_event
from tests.journey.site import Site, eventually
from tests.limits import PATIENCE
from tests.ports import free_port


def get(port: int, path: str) -> tuple[int, str]:
    """Return the status and the body of a page."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def samples(port: int) -> dict[str, float]:
    """Return the samples of the metrics, summed over their labels but for the outcome and the state."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(get(port, "/metrics")[1]):
        for sample in family.samples:
            label = sample.labels.get("outcome") or sample.labels.get("state") or ""
            key = f"{sample.name}/{label}" if label else sample.name
            found[key] = found.get(key, 0) + sample.value
    return found


async def test_the_pages_of_a_worker(site: Site) -> None:
    """A worker whose slots are all busy is ready; its metrics count what it settled; at its end it serves no more."""
    port = free_port()
    worker = site.worker(BRIDGE_HTTP=f"127.0.0.1:{port}")
    await worker.says("ready for events")
    assert get(port, "/livez") == (200, "alive\n")
    assert json.loads(get(port, "/status.json")[1])["pid"] == worker.process.pid

    await site.defer("do.good", "ok", count=5)
    await site.defer("do.dead", "reject")
    await eventually(lambda: samples(port).get("bridge_attempt_duration_seconds_count") == 6, report=lambda: worker.log)
    found = samples(port)
    assert (found["bridge_attempts_total/delivered"], found["bridge_attempts_total/dead"]) == (5, 1)
    assert (found["bridge_ready"], found["bridge_broker_up"], found["bridge_slots/busy"]) == (1, 1, 0)

    await site.defer("do.long", "sleep:300", count=3)
    await eventually(lambda: samples(port)["bridge_slots/busy"] == 2, report=lambda: worker.log)
    assert get(port, "/readyz") == (200, "ready\n")

    worker.signal(signal.SIGTERM)
    await worker.says("stopping: asked to")  # two signals at the same time are one
    worker.signal(signal.SIGTERM)
    await worker.ended()
    try:
        await asyncio.to_thread(get, port, "/livez")
    except OSError:
        return
    raise AssertionError("somebody still serves")


async def test_the_outboxes_of_the_site(here: Site) -> None:
    """The metrics of a worker have what waits in each, and which it cannot look at."""
    there, url = here.directory / "shop.db", f"sqlite:///{here.directory}"
    here.configure(f'[stores.shop]\nurl = "{url}/shop.db"\n[stores.gone]\nurl = "{url}/no/such.db"\n')
    engine = create_engine(f"sqlite:///{there}")
    tables(here.namespace).metadata.create_all(engine)
    with Session(engine) as session:
        write(session, here.namespace, [Outgoing(new_event("do.good", b"{}"))] * 3)
        session.commit()
    engine.dispose()
    port = free_port()
    worker = here.worker(BRIDGE_HTTP=f"127.0.0.1:{port}")
    await worker.says("ready for events")

    _, text = get(port, "/metrics")
    assert 'bridge_outbox_events{outbox="shop"} 3.0' in text
    assert 'bridge_outbox_trouble{outbox="shop"} 0.0' in text
    assert 'bridge_outbox_trouble{outbox="gone"} 1.0' in text
    assert 'bridge_outbox_events{outbox="gone"}' not in text


async def test_an_address_that_another_worker_has(here: Site) -> None:
    """The second worker ends with an error that names the setting."""
    here.environment["BRIDGE_HTTP"] = f"127.0.0.1:{free_port()}"
    first = here.worker()
    await first.says("ready for events")
    second = here.worker()

    assert await second.ended() == 2
    assert f"http = '{here.environment['BRIDGE_HTTP']}': expected an address to listen on" in second.log
