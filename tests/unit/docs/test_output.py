"""The output that a page shows for a program is the output that the program writes."""

import io
from datetime import UTC, datetime, timedelta

from rich.console import Console

from bridge.brokers.any_broker.ledger_findings import dead_letters
from bridge.brokers.contract.findings import Finding, ok
from bridge.brokers.rabbitmq.connection.address import address
from bridge.brokers.rabbitmq.inspection import amqp_findings, management_findings
from bridge.brokers.rabbitmq.inspection.management_api import Management
from bridge.brokers.rabbitmq.inspection.policies import Policies
from bridge.brokers.rabbitmq.inspection.remedies import Remedies
from bridge.brokers.rabbitmq.topology.declarations import Binding, declarations, objects
from bridge.brokers.rabbitmq.topology.definitions import binding_fields
from bridge.brokers.rabbitmq.topology.names import Names
from bridge.brokers.rabbitmq.topology.presence import QueueCount
from bridge.ledger import Dead
from bridge.queues import Queue
from examples.demo.accounts import Tally
from examples.demo.display import show_summary
from tests.unit.docs.markdown import README, ROOT, blocks
from worker.bench.result import KEPT, PROMISE, Drain, Result, Times
from worker.doctor import exposure, pauses, rendering

QUEUES = (Queue("mail", ("mail.#",)), Queue("default"))


def _letter(time: datetime) -> Dead:
    """Return a dead letter of this time."""
    return Dead(1, time, "mail", "attempts used up", "e1", "mail.sent", "KeyError", "'email'", 12)


def a_night() -> list[Finding]:
    """Return the findings of the night that the page shows."""
    where = address("amqps://shop:secret@rabbit.local:5671")
    site = Remedies(Names("bridge"), where.vhost, "shop", True, Management.of(where, None))
    held = {"mail": QueueCount(1812, 0), "default": QueueCount(0, 2)}
    expected = [each for each in declarations(site.names, QUEUES) if isinstance(each, Binding)]
    left_over = {**binding_fields(Binding("bridge.events", "bridge.q.mail", "old.#")), "properties_key": "old.%23"}
    now = datetime.now(UTC)
    return [
        ok("installation", "deferred-event-bridge 0.1.0 in /srv/shop/.venv/lib/python3.11/site-packages"),
        ok("settings", "/srv/shop/bridge.toml; broker_url from /srv/shop/bridge.toml"),
        amqp_findings.broker_version(f"{where}, namespace 'bridge'", {"product": "RabbitMQ", "version": "4.0.5"}),
        amqp_findings.permissions(site, {"configure": [], "write": [], "read": []}, blocked=False),
        amqp_findings.missing_objects(site, [], len(objects(site.names, QUEUES))),
        amqp_findings.alarms(blocked=False),
        amqp_findings.unrouted_messages(site, QueueCount(0, 0)),
        *amqp_findings.consumers(held, {}),
        amqp_findings.waiting_events(held, 31),
        *management_findings.bindings(site, expected, [], [*map(binding_fields, expected), left_over]),
        *management_findings.policies(site, [], Policies([], [])),
        *management_findings.delayed(site, 0, 1),
        *amqp_findings.consumer_timeouts(QUEUES, {}),
        management_findings.clock(now, now),
        dead_letters([_letter(now - timedelta(hours=2)), *[_letter(now)] * 2], now),
        *pauses.judge([]),
        *exposure.judge("amqps", "shop", {"rabbit.local": False}),
        ok("modes", "no other user of this machine can use the site's files"),
        ok("workers", "process 4711 takes events and settles them"),  # a real one: tests/journey/test_readme.py
    ]


def test_the_doctor_prints_what_the_page_shows() -> None:
    """Each sentence and each next step is the code's."""
    [example] = blocks(ROOT / "docs" / "doctor.md", "text")
    assert f"{rendering.as_text(a_night())}\n" == example.text


def test_bridge_bench_prints_what_the_page_shows() -> None:
    """With the figures of the run that is shown."""
    [example] = blocks(ROOT / "docs" / "bridge-bench.md", "text")
    drain = Drain(9_000, 2.986, worker=2.007, children=2.259, others=0.981, processes=2, cores=2)
    result = Result(
        app="shop:app",
        broker="RabbitMQ at localhost:5672, namespace 'bridge-bench-5f0c2a17'",
        event="bridge.benchmark",
        promise=PROMISE.format(kept=KEPT[False]),
        publish_rate=4812,
        publish=Times(0.87, 1.18),
        drain=drain,
        pace=50,
        latency=Times(2.53, 3.61),
        failed=0,
    )
    assert f"{result.text()}\n" == example.text


def test_the_demo_prints_what_the_readme_shows() -> None:
    """With the figures of the run that is shown. How long the demo took is left out."""
    shown = next(block for block in blocks(README, "text") if "deferred" in block.text)
    dead = {"attempts used up": 8, "rejected": 16}
    latencies = [0.0025] * 98 + [0.0142] * 2
    written = io.StringIO()
    tally = Tally(792, 572, 196, dead, unaccounted=0, twice=0, latencies=latencies)
    show_summary(Console(file=written, width=120, highlight=False), tally, {202: 792, 401: 8}, 15.0)
    *lines, _duration = (line.rstrip() for line in written.getvalue().splitlines())
    assert lines == shown.text.splitlines()
