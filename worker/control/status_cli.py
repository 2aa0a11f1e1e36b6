"""`bridge-status`: show the workers and pools of this user on this machine, and the spool."""

import asyncio
import sys
from collections.abc import Iterator, Sequence

import click
from rich.console import Console

from bridge.config.hiding import without_password
from bridge.config.settings import load_settings
from bridge.config.values import Values
from bridge.console import options
from bridge.console.exit_codes import ExitCode
from bridge.console.printable import json_text, printable
from bridge.console.program import program, version_option
from bridge.console.quantities import duration_text, size_text
from bridge.console.terminal import Column, print_table, print_text, terminal
from bridge.status import (
    OutboxStatus,
    PoolStatus,
    ProgressStatus,
    SidekiqStatus,
    SlotStatus,
    SpoolStatus,
    Status,
    UnreadableStatus,
    WorkerStatus,
    to_json,
)
from worker.control.child_stacks import show_stacks
from worker.control.control_directory import directories_of
from worker.control.control_socket import count_of_others, statuses_of, workers_of
from worker.control.readiness import why_not
from worker.control.site_status import show_site
from worker.control.status import spool_status, store_statuses

_COLUMNS = (
    Column("slot", right=True, narrow=True),
    Column("state", narrow=True),
    Column("pid", right=True, narrow=True),
    Column("event"),
    Column("for", right=True, narrow=True),
    Column("age", right=True, narrow=True),
    Column("requests", right=True, narrow=True),
    Column("memory", right=True, narrow=True),
    Column("restarts", right=True, narrow=True),
    Column("last restart"),
)


@program(
    "bridge-status --json | jq '.[].slots[] | select(.state == \"busy\")'",
    "bridge-status --ready",
    "bridge-status --site",
    "bridge-status --stacks 4711",
)
@options.as_json("Print all statuses as one JSON list, in seconds and bytes.")
@click.option("--ready", is_flag=True, help="Show whether the workers of these settings are ready.")
@click.option("--site", is_flag=True, help="Ask all workers of the site over the broker, and name the missing ones.")
@click.option(
    "--stacks",
    type=click.IntRange(1),
    metavar="PID",
    help="Show the Python stacks of this child of a worker.",
)
@options.config()
@version_option
def main(as_json: bool, ready: bool, site: bool, stacks: int | None, config: str | None) -> None:
    """Show the workers and pools of these settings, what each slot does, the spool and the stores.

    It shows those of this user on this machine, and counts the others. The statuses come from the control sockets; no
    child is asked, except by --stacks. --ready is for health checks: a worker is ready if it
    has a live consumer on each of its queues and a slot, and has settled events recently or has none. --site asks all
    workers of the site, on all machines, over the broker; a worker that started, did not end and does not answer is
    missing. --stacks asks a worker, on any machine, where the code of its child is now: the child writes the stacks of
    its threads, and goes on with its event. Exit codes: 0 shown, or all ready; 1 no worker runs, one is not ready or
    missing, or no stacks came; 2 usage or settings; 3 with --site or --stacks, the broker cannot be reached or refuses.
    """
    if ready + site + (stacks is not None) > 1:
        raise click.UsageError("expected one of --ready, --site and --stacks.")
    settings = load_settings(file=config)
    if stacks is not None:
        sys.exit(show_stacks(settings, stacks, as_json=as_json))
    if site:
        sys.exit(show_site(settings, as_json=as_json))
    if ready:
        sys.exit(_show_readiness(settings.values, as_json))
    running, spool = statuses_of(settings.values), spool_status(settings)
    stores = asyncio.run(store_statuses(settings)) if settings.values.stores else []
    statuses = [*running, *stores, *([] if spool is None else [spool])]
    if as_json:
        click.echo(json_text([to_json(status) for status in statuses], indent=2))
    else:
        for status in statuses:
            _show(terminal(), status)
    _tell_of_others(settings.values)
    if not running:
        places = ", ".join(map(str, directories_of(settings.values))) or "/tmp"
        click.echo(printable(f"no worker runs for {_site(settings.values)} (looked in {places})"), err=True)
        sys.exit(ExitCode.INCOMPLETE)


def _tell_of_others(values: Values) -> None:
    """Say how many workers run with other settings: this may be the wrong directory."""
    if others := count_of_others(values):
        runs = "1 other worker or pool of this user runs" if others == 1 else f"{others} others of this user run"
        click.echo(printable(f"{runs} with another broker or namespace than {_site(values)}"), err=True)


def _site(values: Values) -> str:
    return f"{without_password(values.broker_url)}, namespace '{values.namespace}'"


def _show_readiness(values: Values, as_json: bool) -> ExitCode:
    """Print for each worker of these settings whether it is ready; return the exit code."""
    reasons = [(worker.pid, why_not(worker)) for worker in workers_of(values)]
    if as_json:
        found = [{"pid": pid, "ready": why is None, "why_not": why} for pid, why in reasons]
        click.echo(json_text(found, indent=2))
    elif not reasons:
        click.echo(printable(f"no worker runs for {_site(values)}"))
    else:
        for pid, why in reasons:
            click.echo(printable(f"worker {pid} is ready" if why is None else f"worker {pid} is not ready: {why}"))
    ready = bool(reasons) and all(why is None for _, why in reasons)
    return ExitCode.DONE if ready else ExitCode.INCOMPLETE


def _show(console: Console, status: Status) -> None:
    match status:
        case WorkerStatus():
            print_text(console, _title("worker", status), "bold")
            done = f"{status.delivered} delivered, {status.retried} retries, {status.dead_lettered} dead-lettered"
            print_text(console, f"  {status.broker}; up {_time(status.age)}; {done}; {_losses(status)}")
            print_text(console, f"  serves {', '.join(status.serving.queues) or 'no queue'}")
            for name, queue in status.serving.queues.items():
                if queue.waits is not None:
                    print_text(console, f"  queue {name} waits: {queue.waits}")
            _show_children(console, status)
        case PoolStatus():
            print_text(console, _title("pool", status), "bold")
            done = f"{status.served} requests served"
            print_text(console, f"  {status.address}; up {_time(status.age)}; {done}; {_losses(status)}")
            _show_children(console, status)
        case UnreadableStatus():
            print_text(console, f"process {status.pid}: {status.trouble}", "red")
        case SpoolStatus():
            held = status.trouble or f"{_held(status)}; {size_text(status.bytes)}"
            print_text(console, f"spool {status.spool}: {held}")
        case OutboxStatus():
            print_text(console, f"outbox {status.outbox}: {status.trouble or _held(status)}")
        case SidekiqStatus():
            print_text(console, f"sidekiq {status.sidekiq}: {status.trouble or _held(status)}")
            for kind, count in status.staying.items():
                print_text(console, f"  {kind} stay there: {count}")


def _held(status: SpoolStatus | OutboxStatus | SidekiqStatus) -> str:
    oldest = "" if status.oldest is None else f", the oldest {_time(status.oldest)} old"
    return f"{status.events} event{'' if status.events == 1 else 's'}{oldest}"


def _title(kind: str, status: WorkerStatus | PoolStatus) -> str:
    release = f", release {status.release}" if status.release else ""
    return f"{kind} {status.pid}: {status.app}{release}"


def _losses(status: WorkerStatus | PoolStatus) -> str:
    return f"{status.restarts} restarts, {status.booting} booting"


def _show_children(console: Console, status: WorkerStatus | PoolStatus) -> None:
    if status.trouble:
        print_text(console, f"  {status.trouble.strip().splitlines()[-1]}", "red")
    if status.slots:
        print_table(console, _COLUMNS, _rows(status.slots))


def _rows(slots: Sequence[SlotStatus]) -> Iterator[tuple[str, ...]]:
    for slot in slots:
        yield (
            "-" if slot.slot is None else str(slot.slot),
            slot.state,
            _number(slot.pid),
            "" if slot.event is None else f"{slot.event} {slot.id} (attempt {slot.attempt}){_progress(slot.progress)}",
            "" if slot.seconds is None else _time(slot.seconds),
            "" if slot.age is None else _time(slot.age),
            _number(slot.requests),
            "" if slot.rss is None else size_text(slot.rss),
            _number(slot.restarts),
            slot.why or "",
        )


def _progress(progress: ProgressStatus | None) -> str:
    return "" if progress is None else f": {progress}"


def _number(number: int | None) -> str:
    return "" if number is None else str(number)


def _time(seconds: float) -> str:
    return duration_text(seconds, 1)
