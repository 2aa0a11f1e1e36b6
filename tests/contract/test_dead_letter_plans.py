"""Plans of redrives on both brokers, with a consumer that answers as a worker would."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.attempt import Error
from bridge.brokers.any_broker.history_reading import history_of
from bridge.brokers.any_broker.plan_log import PlanLog
from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.claims import ClaimTaken
from bridge.brokers.contract.consuming import Consumer
from bridge.config.settings import Settings, load_settings
from bridge.history import record_of
from bridge.ledger import Discarded, Redriven, open_letters
from bridge.plans import Plan, PlanStory
from bridge.site_logs import HISTORY, PLANS
from dead_letter.plan_runner import PlanRun, carry_out_plan
from tests.contract.acts import a_letter, an_event, consuming, entries_of, eventually, now, take
from tests.contract.conftest import Site
from tests.contract.dead_letter_program import QUEUES, Dlq
from tests.limits import PATIENCE

DIED_OF = Error("KeyError", "no customer 17")
OTHER = Error("Timeout", "no answer")

Answer = Callable[[int], Error | None]
"""The error of an event, by the number of events before it; None if it is delivered."""


@pytest.fixture
def settings(site: Site) -> Iterator[Settings]:
    """The settings of the site, whose logs are removed after the test."""
    yield load_settings(command_line={"broker_url": site.url, "namespace": site.namespace}, environ={})
    for log in (HISTORY, PLANS.name):
        asyncio.run(site.drop_log(log))


async def _kill(broker: Broker, count: int) -> Consumer:
    """Let events become dead letters. Return the consumer that saw them."""
    await broker.declare(QUEUES)
    consumer = await consuming(broker, "default", prefetch=100)
    publisher = broker.publisher()
    for _ in range(count):
        await publisher.publish(an_event("order.paid"))
        delivery = await take(consumer)
        await delivery.dead_letter(replace(a_letter(delivery), error=DIED_OF))
    return consumer


@asynccontextmanager
async def _working(broker: Broker, settings: Settings, consumer: Consumer, answer: Answer) -> AsyncIterator[list[str]]:
    """Settle each delivery, and record it in the history. Yield the ids in their order."""
    history, taken = history_of(broker, settings), list[str]()

    async def work() -> None:
        while True:
            delivery = await consumer.receive()
            event, error = delivery.envelope.event, answer(len(taken))
            taken.append(event.id)
            more = {} if error is None else {"error": [error.type, error.message]}
            end = "delivered" if error is None else "retried"
            row = [now().timestamp(), 0.1, event.id, event.name, delivery.queue, 1, end, more]
            await history.append(record_of([row], "web1", 7))
            await delivery.ack()

    task = asyncio.create_task(work())
    yield taken
    task.cancel()
    await asyncio.wait({task})


async def _planned(broker: Broker, settings: Settings, **changes: Any) -> tuple[Plan, PlanLog]:
    """Record a plan of all open letters."""
    numbers = tuple(open_letters(await entries_of(broker)))
    plan = replace(Plan("4b7d2a10", numbers, 2, 0.0, 20.0, None, "ann@web1", "fixed in v43", now()), **changes)
    log = PlanLog(broker, settings.values.namespace, settings.ledger_keys())
    await log.append(*log.records.of_plan(plan))
    return plan, log


async def _run(broker: Broker, settings: Settings, plan: Plan) -> PlanRun:
    run = PlanRun(plan, "ann@web1")
    await carry_out_plan(broker, settings, run, "web1, pid 7", lambda *_: None)
    return run


async def _discard(broker: Broker, number: int) -> None:
    """Discard a letter as soon as nobody else has the right to decide."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                async with broker.ledger().deciding() as decisions:
                    return await decisions.discard(number, "bob@web2", "a test")
            except ClaimTaken:
                await asyncio.sleep(0.05)


async def _story(log: PlanLog) -> PlanStory:
    (story,) = (await log.read()).stories.values()
    return story


async def test_a_plan_puts_all_letters_back(broker: Broker, settings: Settings) -> None:
    """In their order, in steps of 2, 4 and 8, as long as they are delivered. Its decisions name the plan."""
    consumer = await _kill(broker, 9)
    plan, log = await _planned(broker, settings)

    async with _working(broker, settings, consumer, lambda count: None) as taken:
        run = await _run(broker, settings, plan)

    entries = await entries_of(broker)
    decided = [entry for entry in entries if isinstance(entry, Redriven)]
    assert (run.end, open_letters(entries), len(taken)) == ("done", {}, 9)
    assert [entry.letter for entry in decided] == list(plan.letters)
    assert {entry.note for entry in decided} == {"plan 4b7d2a10: fixed in v43"}
    story = await _story(log)
    assert (story.ended, story.progress.redriven, story.progress.delivered) == ("done", 9, 9)


async def test_a_plan_ends_with_its_canary_if_the_failure_is_back(broker: Broker, settings: Settings) -> None:
    """The other letters stay in the ledger."""
    consumer = await _kill(broker, 9)
    plan, log = await _planned(broker, settings)

    async with _working(broker, settings, consumer, lambda count: DIED_OF):
        run = await _run(broker, settings, plan)

    assert (run.end, run.why[:19], len(open_letters(await entries_of(broker)))) == ("aborted", "the failure is back", 7)
    assert (await _story(log)).ended == "aborted"


async def test_a_canary_may_be_larger_than_any_ledger(broker: Broker, settings: Settings) -> None:
    """Then the first step has all letters."""
    consumer = await _kill(broker, 3)
    plan, _ = await _planned(broker, settings, canary=10**30)

    async with _working(broker, settings, consumer, lambda count: None) as taken:
        run = await _run(broker, settings, plan)

    assert (run.end, len(taken)) == ("done", 3)


async def test_a_plan_tolerates_what_it_was_told_to(broker: Broker, settings: Settings) -> None:
    """Up to its part of a step; the second step has one failure too many."""
    consumer = await _kill(broker, 20)
    plan, _ = await _planned(broker, settings, abort_over=0.5)

    async with _working(broker, settings, consumer, lambda count: DIED_OF if count in (0, 2, 3, 4) else None):
        run = await _run(broker, settings, plan)

    assert (run.end, run.why) == ("aborted", "3 of 4 events failed, more than 50%")
    assert len(open_letters(await entries_of(broker))) == 14


async def test_a_new_letter_is_a_failure_too(broker: Broker, settings: Settings) -> None:
    """Without a history, the ledger tells that an event died again."""
    consumer = await _kill(broker, 5)
    plan, _ = await _planned(broker, settings)
    running = asyncio.create_task(_run(broker, settings, plan))

    for _ in range(2):
        delivery = await take(consumer)
        await delivery.dead_letter(replace(a_letter(delivery), error=DIED_OF))

    run = await running
    assert run.end == "aborted"
    assert len(open_letters(await entries_of(broker))) == 5


async def test_a_plan_waits_only_so_long(broker: Broker, settings: Settings) -> None:
    """If nothing becomes known of its events, the next step begins after the plan's wait."""
    await _kill(broker, 5)
    plan, _ = await _planned(broker, settings, wait=0.05)

    run = await _run(broker, settings, plan)

    assert (run.end, run.progress.redriven, run.progress.delivered) == ("done", 5, 0)


async def test_a_plan_is_stopped_from_elsewhere_and_resumed(broker: Broker, settings: Settings) -> None:
    """The stop is a record. A second process cannot carry out the plan meanwhile. The rest of the letters follows."""
    consumer = await _kill(broker, 9)
    plan, log = await _planned(broker, settings)
    running = asyncio.create_task(_run(broker, settings, plan))  # it waits for its canary
    await eventually(lambda: _story(log), lambda story: bool(story.where))

    with pytest.raises(ClaimTaken):
        await _run(broker, settings, plan)
    await log.append(log.records.stop(plan.id, "bob@web2", now()))
    run = await running

    assert (run.end, run.why, (await _story(log)).ended) == ("stopped", "stopped by bob@web2", "stopped")
    async with _working(broker, settings, consumer, lambda count: None):
        resumed = await _run(broker, settings, plan)
    assert (resumed.end, resumed.progress.redriven, open_letters(await entries_of(broker))) == ("done", 9, {})


async def test_a_stop_does_not_wait_for_the_rate(broker: Broker, settings: Settings) -> None:
    """Not even between two letters of a step, an hour apart."""
    await _kill(broker, 2)
    plan, log = await _planned(broker, settings, interval=3600.0)
    running = asyncio.create_task(_run(broker, settings, plan))
    await eventually(lambda: entries_of(broker), lambda entries: len(open_letters(entries)) == 1)

    await log.append(log.records.stop(plan.id, "bob@web2", now()))

    async with asyncio.timeout(PATIENCE):
        run = await running
    assert (run.end, run.progress.redriven) == ("stopped", 1)


async def test_the_counts_of_a_resumed_plan_are_those_of_all_its_runs(broker: Broker, settings: Settings) -> None:
    """Events that were delivered before a plan ended are still among the delivered ones, and those that failed among
    the failed ones."""
    consumer = await _kill(broker, 9)
    plan, log = await _planned(broker, settings)

    async with _working(broker, settings, consumer, lambda count: DIED_OF if count == 5 else None):
        first = await _run(broker, settings, plan)
    assert first.end == "aborted"
    before = (await _story(log)).progress
    async with _working(broker, settings, consumer, lambda count: None):
        await _run(broker, settings, plan)

    after = (await _story(log)).progress
    assert before.failed == 1
    assert (after.redriven, after.delivered, after.failed) == (9, 8, 1)


async def test_letters_that_others_decide_about_are_left_to_them(broker: Broker, settings: Settings) -> None:
    """They are neither put back nor waited for."""
    consumer = await _kill(broker, 5)
    plan, _ = await _planned(broker, settings, canary=1)
    running = asyncio.create_task(_run(broker, settings, plan))
    delivery = await take(consumer)
    await _discard(broker, plan.letters[3])
    await delivery.ack()
    history = history_of(broker, settings)
    row = [now().timestamp(), 0.1, delivery.envelope.event.id, "order.paid", "default", 1, "delivered"]
    await history.append(record_of([row], "web1", 7))

    async with _working(broker, settings, consumer, lambda count: None):
        run = await running

    entries = await entries_of(broker)
    assert (run.end, run.progress.redriven, run.progress.delivered) == ("done", 4, 4)
    assert [entry.letter for entry in entries if isinstance(entry, Discarded)] == [plan.letters[3]]


def test_the_program_makes_lists_and_stops_plans(site: Site, settings: Settings, tmp_path: Path) -> None:
    """A plan whose process was killed goes on when it is resumed."""
    dlq = Dlq.on(site, tmp_path)
    dlq.die(*["order.paid"] * 4)

    process = dlq.start("redrive", "--all", "--yes", "--plan", "--canary", "1", "--reason", "v43")

    async def until_begun(broker: Broker) -> None:
        log = PlanLog(broker, site.namespace, settings.ledger_keys())
        await eventually(log.read, lambda plans: any(story.where for story in plans.stories.values()))
        await eventually(
            lambda: entries_of(broker), lambda entries: any(isinstance(each, Redriven) for each in entries)
        )

    dlq.with_broker(until_begun)
    process.kill()
    process.wait()
    plan = json.loads(dlq("plans", "--json").stdout)
    assert (plan["letters"], plan["why"], plan["state"]) == (4, "v43", "running")
    for beginning in ("", " ", plan["plan"][:3]):  # an empty variable of a script names no plan
        refused = dlq("plans", "stop", beginning)
        assert (refused.exit_code, "its first 4 digits at least" in refused.stderr) == (2, True)
    assert dlq("plans", "stop", plan["plan"][:4]).exit_code == 0
    assert "stopping" in dlq("plans").stdout
    assert len(dlq.open()) == 3


@pytest.mark.parametrize("verb", [("redrive", "--plan"), ("redrive",), ("discard",)])
def test_without_a_letter_nothing_is_asked(site: Site, tmp_path: Path, verb: tuple[str, ...]) -> None:
    """So no terminal is needed to say that there is nothing to do. With a letter, it is."""
    dlq = Dlq.on(site, tmp_path)

    without = dlq(*verb, "--all")
    dlq.die("order.paid")
    with_one = dlq(*verb, "--all")

    assert (without.exit_code, without.stdout, without.stderr) == (
        0,
        f"No open dead letter is selected: nothing to {verb[0]}.\n",
        "",
    )
    assert with_one.exit_code == 2
    assert "there is no terminal to ask on: give " in with_one.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("plans", "stop", "0123"), "no plan has an id that begins with '0123'"),
        (("plans", "resume", "0123"), "no plan has an id that begins with '0123'"),
        (("redrive", "--all", "--canary", "5", "--yes"), "expected with --plan only"),
        (("redrive", "--all", "--plan", "--abort-over", "5"), "'5': expected a percentage"),
        (("redrive", "--all", "--plan", "--abort-over", "101%"), "'101%': expected a percentage"),
        (("redrive", "--all", "--plan", "--wait", "long"), "'long': expected a time"),
    ],
)
def test_a_wrong_argument_is_named(site: Site, tmp_path: Path, words: tuple[str, ...], expected: str) -> None:
    """The exit code is 2, and no plan is made."""
    result = Dlq.on(site, tmp_path)(*words)

    assert result.exit_code == 2
    assert expected in " ".join(result.stderr.split())
