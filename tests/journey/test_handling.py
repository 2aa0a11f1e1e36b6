"""The handling of events by the real programs: expiry, snoozes, retry policies of events and listeners."""

import asyncio
import json
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.journey.site import Program, Site, eventually
from tests.journey.slow_api import slow_api
from tests.limits import LONG, PATIENCE
from tests.lines import whole_lines

OK = json.dumps({"do": ["ok"]})


def lines(site: Site) -> list[str]:
    """Return the lines that the listeners of an app wrote to `EFFECTS`, in order."""
    return whole_lines(Path(site.environment["EFFECTS"]))


def runs(site: Site) -> list[str]:
    """Return these lines, sorted."""
    return sorted(lines(site))


async def done(program: Program, within: float = PATIENCE) -> str:
    """Wait until the program has ended in good order; return its output."""
    assert await program.ended(within) == 0, program.log
    return program.log.strip()


async def defer(site: Site, *arguments: str) -> str:
    """Defer an event by `bridge-defer`; return its id."""
    return await done(site.run("bridge-defer", *arguments))


async def test_an_event_that_expired_in_its_queue_does_not_run_until_a_person_redrives_it(site: Site) -> None:
    """Without a worker it expires. The queue `codes` drops expired events; any other keeps a dead letter."""
    site.configure("[queues.codes]\npatterns = ['do.code']\nexpired = 'drop'\n[queues.default]\n")
    async with site.broker():  # bridge-defer makes no SQLite file
        pass
    dropped, kept, lasting = [
        await defer(site, name, OK, "--expires", expires)
        for name, expires in (("do.code", "300ms"), ("do.this", "300ms"), ("do.that", "1h"))
    ]
    await asyncio.sleep(0.3)  # the expiry, which no condition shows

    log = await done(site.worker("--until-settled"))

    (letter,) = await site.letters()
    assert (letter.reason, letter.envelope.event.id, letter.envelope.attempts) == ("expired", kept, ())
    assert letter.envelope.event.handling.expires is not None
    assert letter.envelope.event.handling.expires < datetime.now(UTC)
    assert {effect.id for effect in site.effects()} == {lasting}
    assert "1 delivered, 0 retries, 1 dead-lettered, 1 dropped" in log
    assert f"id={dropped}" in next(line for line in log.splitlines() if "dropped: expired" in line)

    await done(site.run("bridge-dlq", "redrive", "--all", "--yes"))
    await done(site.worker("--until-settled"))

    assert {effect.id for effect in site.effects()} == {lasting, kept}


@pytest.mark.parametrize("count", [60, pytest.param(300, marks=pytest.mark.long)])
async def test_events_against_an_api_that_takes_ten_a_second_are_all_delivered(site: Site, count: int) -> None:
    """Each 429 snoozes an event: no attempt is spent, nothing dies, and a listener that finished does not run again."""
    site.configure("retry = {attempts = 1}")
    ids = await site.defer("api.call", count=count)
    with slow_api(rate=10) as api:
        log = await done(site.worker("--until-settled", app="handled:app", API=api.url), within=LONG)

    assert sorted(api.taken) == sorted(ids)
    assert api.refused > 0
    assert runs(site) == sorted(f"{id} 1" for id in ids)
    assert f"{count} delivered, 0 retries, 0 dead-lettered, {api.refused} snoozes" in log
    assert await site.letters() == []


async def test_the_policy_of_an_event_goes_before_that_of_its_listener_and_of_its_queue(site: Site) -> None:
    """The queue allows one attempt, the listener two, and the event three."""
    site.configure("retry = {attempts = 1}")
    (by_listener,) = await site.defer("fails.twice")
    by_event = await defer(site, "fails.twice", "--retry", "attempts=3,initial=1s,base=1,jitter=0")

    await done(site.worker("--until-settled", app="handled:app"))

    attempts = [f"{by_listener} {attempt}" for attempt in (1, 2)] + [f"{by_event} {attempt}" for attempt in (1, 2, 3)]
    assert runs(site) == sorted(attempts)
    assert {letter.reason for letter in await site.letters()} == {"attempts used up"}


async def test_a_halt_pauses_the_queue_until_a_person_skips_the_event_or_resumes_the_queue(site: Site) -> None:
    """The pause has the listener's reason. No event of the ordered queue begins, and afterwards all run in order."""
    site.configure("[queues.ledger]\npatterns = ['ledger.#']\nordered = true\n[queues.default]\n")
    skipped, again, last = [(await site.defer(f"ledger.{name}"))[0] for name in ("first", "second", "third")]
    halted = "queue halted by a listener: Halt: the ledger does not add up"
    worker = site.worker(app="handled:app")
    await worker.says(halted)

    assert "the ledger does not add up" in await done(site.run("bridge-queues", "show", "ledger"))
    other = (await site.defer("plain.one"))[0]  # of a queue that is not halted
    await eventually(lambda: f"{other} 1" in runs(site), report=lambda: worker.log)
    assert runs(site) == sorted([f"{skipped} 1", f"{other} 1"])

    await done(site.run("bridge-events", "cancel", skipped))
    await done(site.run("bridge-queues", "resume", "ledger"))
    await eventually(lambda: worker.log.count(halted) == 2, report=lambda: worker.log)
    (site.directory / "looked").touch()
    await done(site.run("bridge-queues", "resume", "ledger"))
    await eventually(lambda: f"{last} 1" in runs(site), report=lambda: worker.log)
    worker.signal(signal.SIGTERM)
    await done(worker)

    of_ledger = [line for line in lines(site) if other not in line]
    assert of_ledger == [f"{event} 1" for event in (skipped, again, again, last)]
    assert [(letter.reason, letter.envelope.event.id) for letter in await site.letters()] == [("cancelled", skipped)]
