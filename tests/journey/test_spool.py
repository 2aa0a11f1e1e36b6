"""`publish = "spool"` with real processes and a RabbitMQ node that is frozen, killed and started again."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from tests.journey.site import PROGRAMS, Site, eventually
from tests.journey.spooling import SPOOL, TIMEOUT, arrived, deferring, held
from tests.journey.test_defer_in_web_processes import PROCESSES, SLACK, post, web_server
from tests.rabbitmq_node import RabbitNode

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
def site(node_site: Site) -> Site:
    """A site on the node that tests may break."""
    return node_site


@pytest.fixture
def frozen(node: RabbitNode) -> Iterator[RabbitNode]:
    """The node, which resumes at the end of the test if the test has not resumed it."""
    yield node
    node.resume()


async def test_a_frozen_broker_costs_one_request_its_budget_and_loses_nothing(site: Site, frozen: RabbitNode) -> None:
    """Only the first `defer()` waits for its timeout; later events are spooled at once. When the broker resumes, all
    events arrive in order."""
    with deferring(site) as process:
        before = process.defer(0)
        await eventually(lambda: held(site) == 0)  # a slow machine may have spooled event 0 too
        frozen.pause()
        first, *others = [process.defer(number) for number in range(1, 60)]
        spooled = held(site)
        frozen.resume()
        await eventually(lambda: held(site) == 0, report=lambda: process.log)
        after = process.defer(60)
    numbers = await arrived(site, 61)

    assert {answer.error for answer in (before, first, *others, after)} == {""}
    assert first.seconds < TIMEOUT + SLACK
    assert sum(answer.seconds > TIMEOUT / 2 for answer in others) <= 3  # a machine may stall, but not for each of them
    assert spooled == 59
    # Event 1 was sent but not confirmed, so it may be there twice.
    assert list(dict.fromkeys(numbers)) == list(range(61))
    assert len(numbers) <= 62


async def test_a_process_that_finds_no_broker_and_is_killed_leaves_its_events_to_bridge_relay(
    node: RabbitNode, site: Site
) -> None:
    """The spool of a killed process is on the disk. bridge-relay waits for the broker, publishes the events, logs that,
    and ends at SIGTERM."""
    site.environment |= {"BRIDGE_SPOOL": SPOOL}
    node.kill()
    try:
        with deferring(site) as process:
            answers = [process.defer(number) for number in range(20)]
            process.process.kill()
        relay = site.run("bridge-relay")
        await relay.says("does not answer")
    finally:
        node.start()
    await relay.says("20 events from the spool")
    relay.signal(signal.SIGTERM)

    assert {answer.error for answer in answers} == {""}
    assert await relay.ended() == 0
    assert await arrived(site, 20) == list(range(20))
    assert not list(site.directory.glob(f"{SPOOL}.relay*"))


async def test_the_next_process_relays_after_a_relay_was_killed(site: Site, frozen: RabbitNode) -> None:
    """The lock of the spool is free when its holder is killed, and its events in flight are published again."""
    site.environment |= {"BRIDGE_SPOOL": SPOOL}
    with deferring(site) as process:
        process.defer(0)
        frozen.pause()
        for number in range(1, 1001):
            process.defer(number)
        relays = [site.run("bridge-relay") for _ in range(2)]
        frozen.resume()
        await eventually(lambda: held(site) < 1000)
        process.process.kill()
        relays[0].process.kill()
    await eventually(lambda: held(site) == 0, report=lambda: relays[1].log)

    numbers = await arrived(site, 1001)
    assert set(numbers) == set(range(1001))


async def test_an_event_that_no_queue_takes_ends_in_the_ledger(site: Site, frozen: RabbitNode) -> None:
    """A spooled event that matches no queue becomes a dead letter, since `defer()` has returned already."""
    site.configure("[queues.mail]\npatterns = ['mail.#']\n")
    with deferring(site) as process:
        process.defer(0, "mail.sent")
        frozen.pause()
        process.defer(1, "mail.sent")
        assert process.defer(2, "order.paid").error == ""
        frozen.resume()
        await eventually(lambda: held(site) == 0, report=lambda: process.log)

        (letter,) = await site.letters_at_least(1)
    assert (letter.reason, letter.envelope.event.name) == ("unroutable", "order.paid")


async def test_a_delay_is_kept_through_the_spool(site: Site, frozen: RabbitNode) -> None:
    """Spooled events with a delay are relayed before they are due, and delivered when they are due."""
    with deferring(site) as process:
        process.defer(0)
        frozen.pause()
        process.defer(1)
        due = datetime.now(UTC).timestamp() + 3
        process.defer(2, delay=3)
        process.defer(3, delay=3600)
        frozen.resume()
        await eventually(lambda: held(site) == 0, report=lambda: process.log)
        numbers: list[int] = []
        while 2 not in numbers:
            further = await arrived(site, 1)
            assert further, process.log
            numbers += further

    assert datetime.now(UTC).timestamp() >= due
    assert set(numbers) == {0, 1, 2}


AT_EXIT = """
    import sys, threading, time
    from app_adapter.ticket import Ticket
    from behaving import events

    def waits(thread):
        return sys._current_frames()[thread.ident].f_code is Ticket.wait.__code__

    events.defer("do.this", 0)
    print("deferred", flush=True)
    sys.stdin.readline()
    threads = [threading.Thread(target=events.defer, args=("do.this", number), daemon=True) for number in range(1, 6)]
    for thread in threads:
        thread.start()
    while not all(map(waits, threads)):
        time.sleep(0.01)
    print("all wait for the broker", flush=True)
    sys.stdin.readline()
"""


async def test_unconfirmed_events_are_spooled_at_exit(site: Site, frozen: RabbitNode) -> None:
    """At exit, unconfirmed events are spooled long before the publish timeout of 60 s is over."""
    with deferring(site, AT_EXIT, BRIDGE_PUBLISH_TIMEOUT="60s") as process:
        assert process.process.stdin is not None
        assert process.process.stdout is not None
        process.process.stdout.readline()
        frozen.pause()
        print("go on", file=process.process.stdin, flush=True)
        # The events may be in flight then, or not yet published: both are valid cases.
        assert process.process.stdout.readline(), process.log
        process.process.stdin.close()
        status = await asyncio.to_thread(process.process.wait, 30.0)

    assert (status, held(site)) == (0, 5), process.log


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["fork first", "import first"])
def test_pre_forked_processes_share_one_spool(site: Site, frozen: RabbitNode, options: tuple[str, ...]) -> None:
    """All threads of all processes use one spool, also if the app was imported and had spooled before the fork."""
    environment = {**site.environment, "BRIDGE_PUBLISH": "spool", "BRIDGE_SPOOL": SPOOL, "DEFER_AT_IMPORT": "1"}
    environment["BRIDGE_PUBLISH_TIMEOUT"] = f"{TIMEOUT:g}s"
    frozen.pause()
    with web_server(site.directory, *options, **environment) as (port, _), ThreadPoolExecutor(32) as clients:
        answers = list(clients.map(lambda number: post(port, f"/defer/{number}"), range(200)))
        at_import = 1 if options else PROCESSES
        asyncio.run(eventually(lambda: held(site) == len(answers) + at_import))
        frozen.resume()
        asyncio.run(eventually(lambda: held(site) == 0))

    assert len({answer["id"] for answer in answers}) == 200


def status(site: Site, *options: str) -> str:
    """Return the output of `bridge-status` for the site."""
    command = [str(PROGRAMS / "bridge-status"), *options]
    environment = os.environ | site.environment
    return subprocess.run(
        command, cwd=site.directory, env=environment, capture_output=True, text=True, check=False
    ).stdout


def test_bridge_status_shows_the_spool(site: Site, frozen: RabbitNode) -> None:
    """`bridge-status` shows the spool in both formats, also if no worker runs."""
    site.environment |= {"BRIDGE_SPOOL": SPOOL}
    frozen.pause()
    with deferring(site) as process:
        process.defer(0)
        process.process.kill()
    frozen.resume()

    people, machines = status(site), status(site, "--json")

    assert f"spool {site.directory}/{SPOOL}: 1 event, the oldest" in people
    (spool,) = [entry for entry in json.loads(machines) if "spool" in entry]
    assert (spool["events"], spool["trouble"], spool["slots"]) == (1, None, [])
