"""`bridge-status`: what the workers of this user on this machine are doing."""

import json
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bridge.errors import SettingsError
from bridge.notation import without_password
from bridge.settings import Values, load_settings
from worker.control_socket import SUFFIX, directory_of
from worker.spool_status import spool_status
from worker.workers import status_of, workers_of

NO_WORKER = NOT_READY = 1
BAD_SETTINGS = 2
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"))


@click.command(
    epilog="Example: bridge-status --json | jq '.[].slots[] | select(.state == \"busy\")'",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print a list of workers and the spool, for machines: seconds and bytes."
)
@click.option("--ready", is_flag=True, help="Say whether the workers of these settings take events and get on.")
@click.option("--config", metavar="FILE", help="The settings' file. [bridge.toml, where there is one]")
@click.version_option(package_name="deferred-event-bridge")
def main(as_json: bool, ready: bool, config: str | None) -> None:
    """Show every worker of this user on this machine, and what each of its slots does.

    It asks the workers' control sockets and waits for no child. --ready is for health checks: a worker is ready that
    has a live consumer on each of its queues, and recent progress or nothing to do. Exit codes: 0 shown, or all ready;
    1 no worker runs, or one is not ready; 2 usage or settings.
    """
    try:
        settings = load_settings(file=config)
        directory = directory_of(settings.values.control_directory)
    except SettingsError as error:
        click.echo(f"bridge-status: {error}", err=True)
        sys.exit(BAD_SETTINGS)
    if ready:
        _tell_readiness(settings.values)
    workers = list(filter(None, map(status_of, sorted(directory.glob(f"*{SUFFIX}")))))
    spool = spool_status(settings)
    if as_json:
        click.echo(json.dumps([*workers, spool] if spool else workers, indent=2))
    else:
        console = Console(width=None if sys.stdout.isatty() else 200)
        for worker in workers:
            _show(console, worker)
        if spool:
            _show_spool(console, spool)
    if not workers:
        click.echo(f"no worker runs (looked in {directory})", err=True)
        sys.exit(NO_WORKER)


def _tell_readiness(values: Values) -> NoReturn:
    """Say of each worker of these settings whether it is ready, and exit."""
    workers = workers_of(values)
    for worker in workers:
        click.echo(
            f"worker {worker.pid} is ready"
            if worker.why_not is None
            else f"worker {worker.pid} is not ready: {worker.why_not}"
        )
    if not workers:
        click.echo(f"no worker runs for {without_password(values.broker_url)}, namespace '{values.namespace}'")
    sys.exit(0 if workers and all(worker.why_not is None for worker in workers) else NOT_READY)


def _show(console: Console, worker: dict[str, Any]) -> None:
    release = f", release {worker['release']}" if worker.get("release") else ""
    kind = "pool" if "address" in worker else "worker"
    console.print(f"[bold]{kind} {worker['pid']}[/]: {escape(worker.get('app', '?'))}{escape(release)}")
    if "address" in worker:
        console.print(
            f"  {escape(worker['address'])}; up {_time(worker['age'])}; {worker['served']} requests served; "
            f"{worker['restarts']} restarts, {worker['booting']} booting"
        )
    if "broker" in worker:
        console.print(
            f"  {escape(worker['broker'])}; up {_time(worker['age'])}; {worker['delivered']} delivered, "
            f"{worker['retried']} retries, {worker['dead_lettered']} dead-lettered; "
            f"{worker['restarts']} restarts, {worker['booting']} booting"
        )
    if worker["trouble"]:
        console.print(f"  [red]{escape(worker['trouble'].strip().splitlines()[-1])}[/]")
    if worker["slots"]:
        console.print(_table(worker["slots"]))


def _show_spool(console: Console, spool: Mapping[str, Any]) -> None:
    oldest = "" if spool["oldest"] is None else f", the oldest {_time(spool['oldest'])} old"
    events = f"{spool['events']} event{'' if spool['events'] == 1 else 's'}"
    held = spool["trouble"] or f"{events}{oldest}; {spool['bytes'] / 1024**2:.1f} MiB"
    console.print(f"[bold]spool[/] {escape(spool['spool'])}: {escape(held)}")


def _table(slots: list[dict[str, Any]]) -> Table:
    table = Table("slot", "state", "pid", "event", "for", "age", "requests", "memory", "restarts", "last restart")
    for slot in slots:
        event = f"{slot['event']} {slot['id']} (attempt {slot['attempt']})" if "event" in slot else ""
        table.add_row(
            str(slot["slot"] or "-"),
            slot["state"],
            str(slot.get("pid", "")),
            escape(event),
            _time(slot["seconds"]) if "seconds" in slot else "",
            _time(slot["age"]) if "age" in slot else "",
            str(slot.get("requests", "")),
            f"{slot['rss'] / 1024**2:.0f} MiB" if "rss" in slot else "",
            str(slot.get("restarts", "")),
            escape(slot.get("why") or ""),
        )
    return table


def _time(seconds: float) -> str:
    """Return seconds in the largest unit that they fill."""
    return next((f"{seconds / size:.1f} {unit}" for size, unit in _UNITS if seconds >= size), f"{seconds:.1f} s")
