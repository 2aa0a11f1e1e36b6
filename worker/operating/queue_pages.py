"""Prints queues for people, and turns them into JSON for programs."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich.console import Console

from bridge.brokers.contract.findings import counted
from bridge.console.terminal import Column, print_table, print_text
from bridge.controls import Pause, fields_of
from worker.operating.looks import Rates
from worker.operating.queue_acts import Overview, Page, QueueLine

UNKNOWN = "?"
"""Printed as a count that the broker does not report."""

_COLUMNS = (
    Column("queue", narrow=True),
    Column("ready", right=True, narrow=True),
    Column("in hand", right=True, narrow=True),
    Column("waiting", right=True, narrow=True),
    Column("in/s", right=True, narrow=True),
    Column("out/s", right=True, narrow=True),
    Column("consumers", right=True, narrow=True),
    Column("paused"),
)


def print_overview(console: Console, overview: Overview) -> None:
    """Print all queues, the pauses by event pattern, the events that wait, and what is not known."""
    print_table(console, _COLUMNS, map(_row, overview.lines))
    for line in overview.lines:
        _print_breakers(console, line)
    for pause in overview.pauses:
        print_text(console, f"{pause.target}: {pause.reason}")
    if overview.waiting:
        print_text(console, f"{overview.waiting:,} events of all queues wait for their time")
    if overview.unasked:
        print_text(console, overview.unasked)
    if overview.skipped:
        print_text(console, f"{overview.skipped} records of controls are damaged or not signed, and do not count")


def print_page(console: Console, page: Page) -> None:
    """Print one queue."""
    print_table(console, _COLUMNS, [_row(page.line)])
    queue = page.line.queue
    takes = [*queue.patterns, *(["what no other queue takes"] if queue.catch_all else [])]
    print_text(console, f"takes: {', '.join(takes) or 'nothing by a pattern'}")
    for pause in (*page.line.pauses, *page.patterns):
        print_text(console, f"{pause.target}: {pause.reason} (since {pause.time:%Y-%m-%d %H:%M:%S} UTC)")
        if pause.event is not None:
            run = f"bridge-queues resume {queue.name}"
            print_text(console, f"  event {pause.event} holds the queue; to run it again: {run}")
            print_text(console, f"  to end it instead, cancel it before that: bridge-events cancel {pause.event}")
    _print_breakers(console, page.line)
    if page.unasked:
        print_text(console, page.unasked)
    for purge in page.purges:
        deleted = "an unknown number of" if purge.events is None else f"{purge.events:,}"
        print_text(console, f"{purge.time:%Y-%m-%d %H:%M:%S} UTC: {purge.who} deleted {deleted} events: {purge.why}")


def overview_to_json(overview: Overview) -> dict[str, Any]:
    """Return all queues as one JSON object."""
    return {
        "broker": overview.site,
        "queues": [line_to_json(line) for line in overview.lines],
        "pauses": _pauses_to_json(overview.pauses),
        "waiting": overview.waiting,
        "skipped": overview.skipped,
        "measured_seconds": round(overview.seconds, 3),
        "unasked": overview.unasked,
    }


def page_to_json(page: Page) -> dict[str, Any]:
    """Return one queue as a JSON object."""
    line = line_to_json(page.line)
    return {
        **line,
        "patterns": list(page.line.queue.patterns),
        "catch_all": page.line.queue.catch_all,
        "pauses": [*line["pauses"], *_pauses_to_json(page.patterns)],
        "purges": [fields_of(purge) for purge in page.purges],
        "measured_seconds": round(page.seconds, 3),
        "unasked": page.unasked,
    }


def line_to_json(line: QueueLine) -> dict[str, Any]:
    """Return one queue of a list as a JSON object."""
    counts = line.counts
    return {
        "queue": line.queue.name,
        "exists": counts is not None,
        "ready": None if counts is None else sum(counts.ready.values()),
        "ready_by_priority": None if counts is None else {str(key): value for key, value in counts.ready.items()},
        "held": line.held,
        "waiting": None if counts is None else counts.waiting,
        "consumers": None if counts is None else counts.consumers,
        "rate_in": None if line.rates is None else round(line.rates.into, 2),
        "rate_out": None if line.rates is None else round(line.rates.out, 2),
        "pauses": _pauses_to_json(line.pauses),
        "breakers": [asdict(each) for each in line.breakers],
    }


def _pauses_to_json(pauses: Iterable[Pause]) -> list[dict[str, Any]]:
    return [fields_of(pause) for pause in pauses]


def _print_breakers(console: Console, line: QueueLine) -> None:
    """Print which events workers hold, as the first of these workers says."""
    if not line.breakers:
        return
    first, name = line.breakers[0], line.queue.name
    workers = first.worker if line.serving == 1 else f"{len(line.breakers)} of {counted(line.serving, 'worker')}"
    print_text(console, f"queue {name}: held by {workers}: {first.why}")
    print_text(console, f"  to probe at once, after a repair: bridge-queues probe {name}")


def _row(line: QueueLine) -> tuple[str, ...]:
    counts = line.counts
    paused = "; ".join(pause.reason for pause in line.pauses)
    if counts is None:
        return line.queue.name, *["-"] * 6, f"the broker has no such queue yet{f'; {paused}' if paused else ''}"
    by_priority = [f"{number:,} {priority}" for priority, number in counts.ready.items() if number]
    ready = " + ".join(by_priority) if len(counts.ready) > 1 and by_priority else f"{sum(counts.ready.values()):,}"
    numbers = (_count(line.held), _count(counts.waiting), *_rates(line.rates), _count(counts.consumers))
    return line.queue.name, ready, *numbers, paused


def _rates(rates: Rates | None) -> tuple[str, str]:
    return (UNKNOWN, UNKNOWN) if rates is None else (_rate(rates.into), _rate(rates.out))


def _rate(rate: float) -> str:
    """Return a rate with one decimal below 10, and without one from there on."""
    return f"{rate:,.1f}".removesuffix(".0") if rate < 10 else f"{rate:,.0f}"


def _count(number: int | None) -> str:
    return UNKNOWN if number is None else f"{number:,}"
