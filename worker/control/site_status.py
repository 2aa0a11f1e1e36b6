"""`bridge-status --site`: ask every worker of the site, and name those that are missing."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import click
from rich.console import Console

from bridge.brokers.any_broker.roll_call import ask_site
from bridge.brokers.contract.findings import counted
from bridge.config.settings import Settings
from bridge.console.exit_codes import ExitCode
from bridge.console.printable import json_text, printable
from bridge.console.quantities import duration_text
from bridge.console.site_options import existing_broker
from bridge.console.terminal import Column, print_table, print_text, terminal
from bridge.registry import Roll, to_document
from bridge.status import WorkerStatus
from worker.control.readiness import why_not

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


async def _ask(settings: Settings) -> tuple[Roll, str]:
    async with existing_broker(settings) as broker:
        return await ask_site(broker), broker.name


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
