"""`bridge-queues` and `bridge-events cancel` on a site with two workers."""

import asyncio
import json
import signal

import pytest

from tests.faults.proxy import Proxy
from tests.journey.site import Program, Site, eventually
from tests.limits import PATIENCE
from tests.rabbitmq_node import RabbitNode

QUEUES = "[queues.mail]\npatterns = ['do.mail']\n[queues.default]\n"


async def done(site: Site, program: str, *arguments: str, code: int = 0) -> str:
    """Run a program to its end; return its output."""
    ran = site.run(program, *arguments)
    assert await ran.ended() == code, ran.log
    return ran.log


async def ready(*workers: Program) -> None:
    """Wait until the workers take events."""
    for worker in workers:
        await worker.says("ready for events and signals")


async def test_a_paused_queue_begins_nothing_until_it_is_resumed(site: Site) -> None:
    """Every worker stops to begin events of the queue, also one that starts later; the other queue goes on."""
    site.configure(QUEUES)
    first, second = site.worker(), site.worker()
    await ready(first, second)
    paused = await done(site, "bridge-queues", "pause", "mail", "--why", "provider down")
    assert "queue mail: paused by " in paused
    await eventually(lambda: all("queue mail: paused by" in each.log for each in (first, second)))
    await site.defer("do.mail", "ok", count=20)
    second.signal(signal.SIGTERM)
    assert await second.ended() == 0, second.log
    third = site.worker()
    await ready(third)
    (other,) = await site.defer("do.other", "ok")
    await eventually(lambda: bool(site.effects(id=other, began=False)), report=lambda: third.log)
    status = await done(site, "bridge-status")
    assert "queue mail waits: paused by" in status
    assert site.effects(name="do.mail") == []
    listed = json.loads(await done(site, "bridge-queues", "list", "--json"))
    (mail,) = [queue for queue in listed["queues"] if queue["queue"] == "mail"]
    assert (mail["ready"], mail["pauses"][0]["why"]) == (20, "provider down")
    await done(site, "bridge-status", "--ready")

    await done(site, "bridge-queues", "resume", "mail")

    await eventually(lambda: len(site.effects(name="do.mail", began=False)) == 20, report=lambda: third.log)
    await done(site, "bridge-queues", "resume", "mail", code=1)


async def test_what_is_in_hand_and_how_fast_it_goes(site: Site) -> None:
    """The workers report what they hold and have settled, and a queue shows what comes in and goes out meanwhile."""
    site.configure(QUEUES)
    count = 5
    await site.defer("do.mail", "sleep:600", count=count)
    worker = site.worker("--queue", "mail"), site.worker("--queue", "default")
    await ready(*worker)
    await eventually(lambda: bool(site.effects(name="do.mail")), report=lambda: worker[0].log)
    mail, other = {"held": 0}, {"rate_out": 0.0}

    async with asyncio.timeout(PATIENCE):
        while not (mail["held"] and other["rate_out"]):  # a worker without CPU answers too late to be counted
            listing = site.run("bridge-queues", "list", "--over", "3s", "--json")
            while listing.process.poll() is None:
                await site.defer("do.other", "ok")
            assert await listing.ended() == 0, listing.log
            queues = {queue["queue"]: queue for queue in json.loads(listing.log)["queues"]}
            mail, other = queues["mail"], queues["default"]

    assert 1 <= mail["held"] == count - mail["ready"]
    assert (mail["rate_in"], mail["rate_out"]) == (0, 0)
    assert other["rate_in"] > 0 < other["rate_out"]


async def test_events_that_are_paused_by_their_name_wait_without_an_attempt(site: Site) -> None:
    """The other events of their queue go on, also if more are paused than the worker can hold."""
    site.configure(QUEUES)
    paused = await site.defer("do.mail", "ok", count=10)
    await done(site, "bridge-queues", "pause", "--events", "do.mail", "--for", "1h", "--why", "wrong prices")
    worker = site.worker()
    await ready(worker)
    await site.defer("do.other", "ok", count=3)
    await eventually(lambda: len(site.effects(name="do.other", began=False)) == 3, report=lambda: worker.log)
    assert "events do.mail: paused by" in await done(site, "bridge-status")
    assert site.effects(name="do.mail") == []

    await done(site, "bridge-queues", "resume", "--events", "do.mail")

    await eventually(lambda: len(site.effects(name="do.mail", began=False)) == 10, report=lambda: worker.log)
    assert {effect.id for effect in site.effects(name="do.mail")} == set(paused)
    assert {effect.attempt for effect in site.effects(name="do.mail")} == {1}


async def test_cancelled_events_do_not_begin_wherever_they_wait(site: Site) -> None:
    """An event that is ready, one that is delayed, one that waits for a retry, and one that waits for a slot, end with
    who and why; with --running also one that runs, whose child is replaced. The worker goes on."""
    site.configure(
        "retry = {attempts = 3, initial = '4s', jitter = 0}\n[queues.mail]\npatterns = ['do.mail']\nslots = 1\n"
    )
    (waiting,) = await site.defer("do.mail", "ok")
    (delayed,) = await site.defer("do.mail", "ok", delay=3)
    await done(site, "bridge-events", "cancel", waiting, delayed, "--why", "withdrawn")
    worker = site.worker()
    await ready(worker)
    (failed,) = await site.defer("do.mail", "fail")
    await worker.says("retry scheduled")
    (running,) = await site.defer("do.mail", "sleep:60")
    await eventually(lambda: bool(site.effects(id=running)), report=lambda: worker.log)
    (behind,) = await site.defer("do.mail", "ok")

    await done(site, "bridge-events", "cancel", failed, behind)
    await done(site, "bridge-events", "cancel", running, "--running", "--why", "it hangs")

    expected = {waiting, delayed, failed, running, behind}
    await eventually(lambda: worker.log.count("ended: cancelled by") == 5, report=lambda: worker.log)
    letters = {letter.envelope.event.id: letter for letter in await site.letters()}
    assert letters.keys() == expected
    assert {letter.reason for letter in letters.values()} == {"cancelled"}
    assert letters[delayed].error.message.endswith(": withdrawn")
    assert [len(letters[each].envelope.attempts) for each in (waiting, failed, running)] == [0, 1, 1]
    assert {effect.id for effect in site.effects()} == {failed, running}
    assert "ends with its cancelled event" in worker.log

    (after,) = await site.defer("do.mail", "ok")
    await eventually(lambda: bool(site.effects(id=after, began=False)), report=lambda: worker.log)


async def test_an_event_that_halts_its_queue_runs_again_after_a_resume_or_is_cancelled(site: Site) -> None:
    """Every worker pauses the queue, and the event begins in none of them until a person has resumed the queue. It has
    kept its place before the next event. A person who cancels the event before that skips it."""
    site.configure(QUEUES.replace("['do.mail']", "['do.mail']\nordered = true"))
    workers = [site.worker(), site.worker()]
    await ready(*workers)

    async def halted(number: int) -> str:
        (event,) = await site.defer("do.mail", f"halt-without:fixed-{number}")
        await eventually(lambda: all(f"halted by event {event}" in each.log for each in workers))
        (other,) = await site.defer("do.other", "ok")
        await eventually(lambda: bool(site.effects(id=other, began=False)))
        assert f"event {event} holds the queue" in await done(site, "bridge-queues", "show", "mail")
        assert len(site.effects(id=event)) == 1
        return event

    first = await halted(1)
    (behind,) = await site.defer("do.mail", "ok")
    (site.directory / "fixed-1").touch()
    await done(site, "bridge-queues", "resume", "mail")
    await eventually(lambda: bool(site.effects(id=behind, began=False)))
    assert [effect.id for effect in site.effects(name="do.mail", began=True)] == [first, first, behind]
    assert {effect.attempt for effect in site.effects(id=first)} == {1}

    second = await halted(2)
    await done(site, "bridge-events", "cancel", second, "--why", "skip it")
    await done(site, "bridge-queues", "resume", "mail")
    await eventually(lambda: any("ended: cancelled by" in each.log for each in workers))
    (letter,) = await site.letters()
    assert (letter.envelope.event.id, letter.reason, len(site.effects(id=second))) == (second, "cancelled", 1)


async def test_a_purge_is_asked_for_counted_and_recorded(site: Site) -> None:
    """Without a terminal it needs --yes; bridge-queues show has who deleted how many events and why."""
    site.configure(QUEUES)
    await site.defer("do.mail", "ok", count=7)
    assert "--yes" in await done(site, "bridge-queues", "purge", "mail", "--why", "a test", code=2)
    assert "expected one of mail, default" in await done(
        site, "bridge-queues", "purge", "nomail", "--why", "a test", "--yes", code=2
    )

    assert "Deleted 7 events" in await done(site, "bridge-queues", "purge", "mail", "--why", "a test", "--yes")

    shown = json.loads(await done(site, "bridge-queues", "show", "mail", "--json"))
    (purge,) = shown["purges"]
    assert (shown["ready"], purge["events"], purge["why"], "@" in purge["who"]) == (0, 7, "a test", True)


@pytest.mark.rabbitmq
async def test_a_worker_that_was_cut_off_begins_nothing_of_a_queue_that_was_paused_meanwhile(
    node: RabbitNode, node_site: Site
) -> None:
    """It reads the pauses again before it begins an event, although its own connection follows them no longer."""
    site = node_site
    with Proxy(node.port) as proxy:
        site.configure(QUEUES)
        worker = site.worker(BRIDGE_BROKER_URL=proxy.url(site.broker_url))
        await ready(worker)
        proxy.black_hole()
        await done(site, "bridge-queues", "pause", "mail", "--why", "provider down")
        await site.defer("do.mail", "ok", count=5)

        proxy.reset()
        proxy.clear()

        await worker.says("queue mail: paused by")
        (other,) = await site.defer("do.other", "ok")
        await eventually(lambda: bool(site.effects(id=other, began=False)), report=lambda: worker.log)
        assert site.effects(name="do.mail") == []
        await done(site, "bridge-queues", "resume", "mail")
        await eventually(lambda: len(site.effects(name="do.mail", began=False)) == 5, report=lambda: worker.log)
