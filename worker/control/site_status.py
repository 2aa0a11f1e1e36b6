"""`bridge-status --site`: ask every worker of the site, and name those that are missing."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import click
from rich.console import Console

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.findings import counted
from bridge.config.settings import Settings
from bridge.console.exit_codes import ExitCode
from bridge.console.printable import json_text, printable
from bridge.console.quantities import duration_text
from bridge.console.site_options import existing_broker
from bridge.console.terminal import Column, print_table, print_text, terminal
from bridge.logs import Content
from bridge.site_logs import WORKERS
from bridge.status import WorkerStatus
from worker.control.readiness import why_not
from worker.control.registry import (
    ANSWER_WITHIN,
    MISSING_FOR,
    PATIENCE,
    SUBJECT,
    Roll,
    Sighting,
    expected_of,
    instances_of,
    roll_of,
    sighting_of,
    to_document,
)

QUESTION = {"ask": SUBJECT}
_SLACK = timedelta(hours=1)
"""The most by which the clocks of workers may differ: the log is read until a sighting is this much too old."""

_COLUMNS = (
    Column("host", narrow=True),
    Column("pid", right=True, narrow=True),
    Column("app"),
    Column("release", narrow=True),
    Column("up", right=True, narrow=True),
    Column("slots", right=True, narrow=True),
    Column("events", right=True, narrow=True),
    Column("delivered", right=True, narrow=True),
    Column("retries", right=True, narrow=True),
    Column("dead", right=True, narrow=True),
    Column("state"),
)


def show_site(settings: Settings, *, as_json: bool) -> ExitCode:
    """Print the workers of the site, and return the exit code: done if at least one runs and none is missing."""
    roll, where = asyncio.run(_ask(settings))
    if as_json:
        click.echo(json_text(to_document(roll), indent=2))
    else:
        _show(terminal(), roll, where)
    complete = bool(roll.workers) and not roll.missing and not roll.unreadable
    return ExitCode.DONE if complete else ExitCode.INCOMPLETE


async def ask_site(broker: Broker, patience: float = PATIENCE) -> Roll:
    """Read which workers should answer, and ask all meanwhile. It takes some 0.3 s if they answer. If not all do, they
    are asked again, and have up to `patience` seconds more. Raise `BrokerUnavailable` or `BrokerRefused`."""
    statuses = broker.broadcast(SUBJECT)
    answers, sightings = await asyncio.gather(statuses.ask_all(QUESTION, ANSWER_WITHIN), _sightings(broker))
    expected = expected_of(sightings, datetime.now(UTC))

    def complete(further: Sequence[Content]) -> bool:
        return instances_of([*answers, *further]) >= expected.keys()

    if not answers or not complete([]):
        answers += await statuses.ask_all(QUESTION, 0 if expected else ANSWER_WITHIN, complete, patience)
    return roll_of(answers, expected)


async def _ask(settings: Settings) -> tuple[Roll, str]:
    async with existing_broker(settings) as broker:
        return await ask_site(broker), broker.name


async def _sightings(broker: Broker) -> list[Sighting]:
    found: list[Sighting] = []
    oldest = datetime.now(UTC) - MISSING_FOR - _SLACK  # a start that is older has a younger sighting
    async with aclosing(broker.log(WORKERS.name, WORKERS.retention).read_back()) as records:
        async for record in records:
            sighting = sighting_of(record.content)
            if sighting is None:
                continue
            if sighting.time < oldest:
                break
            found.append(sighting)
    return found


def _show(console: Console, roll: Roll, where: str) -> None:
    if roll.workers or roll.missing:
        print_table(console, _COLUMNS, _rows(roll))
    for sentence in roll.unreadable:
        print_text(console, f"a worker answered, and cannot be shown: {sentence}", "red")
    missing = f", {len(roll.missing)} missing" if roll.missing else ""
    click.echo(printable(f"{counted(len(roll.workers), 'worker')} answered{missing}: {where}"))


def _rows(roll: Roll) -> Iterator[tuple[str, ...]]:
    for worker in roll.workers:
        yield (
            worker.host,
            str(worker.pid),
            worker.app,
            worker.release or "",
            duration_text(worker.age, 1),
            _slots(worker),
            str(worker.running),
            str(worker.delivered),
            str(worker.retried),
            str(worker.dead_lettered),
            why_not(worker) or "ready",
        )
    now = datetime.now(UTC)
    for each in roll.missing:
        gone = duration_text((now - each.seen).total_seconds())
        yield (each.host, str(each.pid), each.app, *[""] * 7, f"missing: last seen {gone} ago, and does not answer")


def _slots(worker: WorkerStatus) -> str:
    """Return how many of the slots are busy; only how many there are if the answer has no slots."""
    slots = worker.serving.slots
    if worker.slots_omitted:
        return str(slots)
    return f"{sum(slot.state == 'busy' for slot in worker.slots)}/{slots}"
