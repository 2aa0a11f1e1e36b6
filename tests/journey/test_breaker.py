"""The breaker: events are held while the service that their listeners need is away."""

import asyncio
import json
import signal
import socket
import time

import pytest

from tests.journey.site import Program, Site, eventually
from tests.limits import LONG, PATIENCE

TOML = """
retry = {attempts = 10, initial = "1s", base = 1, jitter = 0}
[queues.mail]
patterns = ["do.mail"]
breaker = 5
[queues.shared]
patterns = ["do.sms", "do.push"]
breaker = 5
[queues.default]
"""

READY = "ready for events"
"""The end of the start in the log of a worker."""

IN_HAND = 2 * (16 + 8)
"""The most events that two children may have begun, or have in line, when a breaker opens."""

PROBES = 14
"""More probes than a breaker makes in the time that a test of this file may take."""

COST = 5 + IN_HAND + PROBES
"""The most attempts that an outage may cost one worker."""


def set_up(site: Site) -> str:
    """Configure the site, and return the step that fails until the service is `back`."""
    site.configure(TOML)
    return f"need:{site.directory}/service"


def back(site: Site) -> None:
    """Let the service be there from now on."""
    (site.directory / "service").touch()


async def delivered(site: Site, name: str, ids: list[str], *workers: Program) -> None:
    """Wait until these events are delivered; check that each was once, and no other, and that none is dead."""

    def succeeded() -> list[str]:
        return [effect.id for effect in site.effects(name=name, began=False)]

    def report() -> str:
        missing = set(ids) - set(succeeded())
        return f"missing of {name}: {missing}\n" + "\n\n".join(worker.log for worker in workers)

    await eventually(lambda: len(succeeded()) >= len(ids), LONG, report)
    assert sorted(succeeded()) == sorted(ids)
    assert await site.letters() == []


async def test_a_service_that_is_away_costs_few_attempts_and_no_event(site: Site) -> None:
    """The queue takes one name, so its events stay with the broker. Other queues go on. When the service is back, all
    are delivered."""
    mails = await site.defer("do.mail", set_up(site), count=400)
    worker = site.worker()
    await worker.says("queue mail: 5 events in a row failed alike (ConnectionError: no connection for event")
    others = await site.defer("do.other", "ok", count=40)
    await delivered(site, "do.other", others, worker)
    assert len(site.effects(name="do.mail", began=True)) <= COST

    back(site)
    await delivered(site, "do.mail", mails, worker)

    assert "queue mail: an event succeeded after" in worker.log


@pytest.mark.parametrize("events", [300, pytest.param(2000, marks=pytest.mark.long)])
async def test_other_names_of_the_queue_go_on(site: Site, events: int) -> None:
    """They are delivered although so many events before them are held, which cost some tens of attempts. No event is
    dead, and when the service is back, each is delivered once."""
    held = await site.defer("do.sms", set_up(site), count=events)
    others = await site.defer("do.push", "ok", count=events // 10)
    worker = site.worker()
    await delivered(site, "do.push", others, worker)
    assert len(site.effects(name="do.sms", began=True)) <= COST
    assert "queue shared, events do.sms: 5 events in a row failed alike (ConnectionError" in worker.log

    back(site)
    await delivered(site, "do.sms", held, worker)


async def test_a_worker_that_is_killed_while_events_are_held(site: Site) -> None:
    """The other one delivers them all. One of the two has counted five failures, and the other may have been told."""
    held = await site.defer("do.sms", set_up(site), count=300)
    workers = [site.worker(), site.worker()]
    for worker in workers:
        await worker.says("queue shared, events do.sms: 5 events in a row failed alike")
    workers[0].signal(signal.SIGKILL)
    await workers[0].ended()
    others = await site.defer("do.push", "ok", count=20)
    await delivered(site, "do.push", others, workers[1])
    assert len(site.effects(name="do.sms", began=True)) <= 2 * COST

    back(site)
    await eventually(
        lambda: {effect.id for effect in site.effects(name="do.sms", began=False)} == set(held),
        LONG,
        lambda: workers[1].log,
    )
    assert await site.letters() == []


@pytest.mark.parametrize(("name", "which"), [("do.sms", "queue shared, events do.sms"), ("do.mail", "queue mail")])
async def test_a_worker_that_has_counted_tells_the_other_one(site: Site, name: str, which: str) -> None:
    """It has counted ten failures, and the other one holds the events after few of its own. A policy of one attempt
    shows each attempt that is spent as a dead letter: no event that is deferred after that is one, though the other
    worker alone has them."""
    step, queue = set_up(site), which.split(",")[0].removeprefix("queue ")
    site.configure(TOML.replace("attempts = 10", "attempts = 1").replace("breaker = 5", "breaker = 10"))
    workers = [site.worker()]
    before = await site.defer(name, step, count=9)
    await begun(site, 9, workers[0], name)
    workers.append(site.worker())
    await workers[1].says(READY)
    opens = f"{which}: 10 events in a row failed alike"
    while not any(opens in worker.log for worker in workers):
        before += await site.defer(name, step)
        await begun(site, len(before), workers[1], name)
    for worker in workers:
        await worker.says(opens)
    counted, told = sorted(workers, key=lambda worker: f"{opens} in worker " in worker.log)
    assert f"{opens} (ConnectionError: no connection for event" in counted.log
    await told.says(f":{counted.process.pid} (ConnectionError: no connection for event")

    held = await site.defer(name, step, count=40)
    await listed(site, f"in a row failed alike in worker {socket.gethostname()}:{counted.process.pid} (", "--json")
    counted.signal(signal.SIGKILL)
    await counted.ended()
    await begun(site, len(site.effects(name=name, began=True)) + 1, told, name)
    back(site)
    site.run("bridge-queues", "probe", queue)
    await eventually(
        lambda: set(held) <= {effect.id for effect in site.effects(name=name, began=False)}, LONG, lambda: told.log
    )
    assert {letter.envelope.event.id for letter in await site.letters()} <= set(before)


async def test_a_worker_that_starts_holds_what_another_one_holds(site: Site) -> None:
    """It has been told before it is ready for events."""
    await site.defer("do.sms", set_up(site), count=100)
    first = site.worker()
    opens = "queue shared, events do.sms: 5 events in a row failed alike"
    await first.says(opens)
    told = f"{opens} in worker {socket.gethostname()}:{first.process.pid} ("
    second, end = await started(site), time.monotonic() + LONG
    while told not in second.log.partition(READY)[0]:  # the first one was too busy to answer in time
        assert time.monotonic() < end, second.log
        second.signal(signal.SIGKILL)
        await second.ended()
        second = await started(site)


async def started(site: Site) -> Program:
    """Start a worker, and wait until it is ready for events."""
    worker = site.worker()
    await worker.says(READY)
    return worker


async def test_one_bad_event_holds_nobody_up(site: Site) -> None:
    """It fails again and again, and the events beside it run."""
    set_up(site)
    site.configure(TOML.replace("attempts = 3", "attempts = 50").replace('"1s"', '"0.1s"'))
    await site.defer("do.sms", "fail")
    worker = site.worker()
    await eventually(lambda: len(site.effects(step="fail", began=True)) >= 7, PATIENCE, lambda: worker.log)
    ids = await site.defer("do.sms", "ok", count=20)
    await eventually(lambda: len(site.effects(step="ok", began=False)) == len(ids), PATIENCE, lambda: worker.log)
    assert "failed alike" not in worker.log


async def test_a_person_asks_for_probes(site: Site) -> None:
    """Both workers probe at once. After the repair, that is enough."""
    held = await site.defer("do.sms", set_up(site), count=300)
    workers = [site.worker(), site.worker()]
    for worker in workers:
        await worker.says("queue shared, events do.sms: 5 events in a row failed alike")
    for _ in range(3):
        before = len(site.effects(name="do.sms", began=True))
        await probed_by_both(site)
        await begun(site, before + 2, workers[0])
    await listed(site, "queue shared: held by 2 of 2 workers: the breaker of do.sms: 5 events in a row failed alike")

    back(site)
    site.run("bridge-queues", "probe", "shared")
    await delivered(site, "do.sms", held, *workers)
    nothing = site.run("bridge-queues", "probe", "shared")
    assert await nothing.ended() == 1
    assert "no worker holds events of queue shared by a breaker" in nothing.log


async def listed(site: Site, text: str, *options: str) -> None:
    """Wait until `bridge-queues list` prints this text. It does not wait long for a worker that is busy."""
    async with asyncio.timeout(PATIENCE):
        while True:
            program = site.run("bridge-queues", "list", *options)
            assert await program.ended() == 0
            if text in program.log:
                break


async def begun(site: Site, number: int, worker: Program, name: str = "do.sms") -> None:
    """Wait until so many attempts have begun."""
    await eventually(lambda: len(site.effects(name=name, began=True)) >= number, PATIENCE, lambda: worker.log)


async def probed_by_both(site: Site) -> None:
    """Ask for probes of the queue `shared` until both workers have answered, which may be busy."""
    async with asyncio.timeout(PATIENCE):
        while True:
            program = site.run("bridge-queues", "probe", "shared", "--json")
            if await program.ended() == 0:
                break
    asked = json.JSONDecoder().raw_decode(program.log[program.log.index("{") :])[0]
    assert [worker["probes"] for worker in asked["workers"]] == [True, True]
