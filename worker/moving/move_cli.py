"""`bridge-move`: moves what a SQLite file holds to another broker, while both are in use. `move.py` does the work."""

import asyncio
from collections.abc import Mapping
from typing import Any

import click

from bridge.brokers.opening import open_broker_of, path_to_empty, same_file
from bridge.config.settings import Settings, load_settings
from bridge.console import options
from bridge.console.exit_codes import BY_SIGNAL, ExitCode
from bridge.console.log_setup import configure_logging
from bridge.console.printable import json_text, printable
from bridge.console.program import Failure, program, version_option
from bridge.console.signals import stop_on_signals
from bridge.console.terminal import Column, print_table, terminal
from bridge.errors import SettingsError
from bridge.logger import log
from worker.moving.dry_run import Found, look
from worker.moving.move import Move, OldFile, Report
from worker.moving.tally import Kind


@program(
    "bridge-move sqlite:////var/lib/shop/bridge.db --dry-run",
    "bridge-move sqlite:////var/lib/shop/bridge.db",
    "bridge-move sqlite:////var/lib/shop/bridge.db --watch",
)
@click.argument("old_url")
@click.option("--to", metavar="URL", help="The new broker. [the site's broker_url]")
@options.namespace()
@click.option("--old-namespace", metavar="NAME", help="The namespace in the old file. [the site's namespace]")
@click.option("--watch", is_flag=True, help="Go on until no other process has the old file open.")
@click.option("--dry-run", is_flag=True, help="Only count what would be moved.")
@options.config()
@options.as_json("Print the counts as one JSON object.")
@options.logs
@version_option
@click.pass_context
def main(
    ctx: click.Context,
    old_url: str,
    to: str | None,
    namespace: str | None,
    old_namespace: str | None,
    watch: bool,
    dry_run: bool,
    config: str | None,
    as_json: bool,
    log_format: Any,
    log_level: Any,
) -> None:
    """Move what the SQLite file OLD_URL holds to the site's broker, while both are in use.

    Events go with their ids, attempts, times and priorities; dead letters with their transcripts; messages of
    mailboxes, pauses, cancellations and decisions about groups too. Workers of the old file have to end: the move waits
    for them. It can be interrupted at any time and begun again; a kill repeats at most 256 events, with the same ids.

    \b
    Exit codes: 0 all is moved, and no other process has the old file open; 1 something is left, or another process
    may still write to it; 2 wrong usage or settings; 3 the file or the broker cannot be used; 128 plus the signal's
    number after a signal.
    """
    configure_logging(log_format, log_level)
    settings = load_settings(command_line={"broker_url": to, "namespace": namespace}, file=config)
    values = settings.values
    path = path_to_empty(old_url)
    old = OldFile(old_url, path, values.namespace if old_namespace is None else old_namespace, values.file_group)
    if same_file(old_url, values.broker_url):
        expected = "expected another file than that of the new broker: change broker_url in the settings, or give --to"
        raise SettingsError(f"OLD_URL {old_url}: {expected}")
    found = asyncio.run(look(old))
    unknown = sorted(found.stock.queues - {queue.name for queue in settings.queues()})
    if dry_run:
        _print_found(found, as_json)
    if unknown:
        raise Failure(
            f"the old file has events in {', '.join(unknown)}, and the site has no such queues: expected a"
            " [queues.NAME] for each, at least until they have run",
            ExitCode.USAGE,
        )
    if not dry_run:
        ctx.exit(asyncio.run(_moved(old, settings, watch=watch, as_json=as_json)))


async def _moved(old: OldFile, settings: Settings, *, watch: bool, as_json: bool) -> int:
    """Move, print the report, and return the exit code."""
    new = open_broker_of(settings)
    with stop_on_signals(lambda: log.info("stopping after the batch in hand; a second signal stops at once")) as stop:
        try:
            await new.declare(settings.queues())
            log.info("moving what %s has to %s", old.path, new.name)
            report = await Move(old, new, settings, stop.wished).run(watch=watch)
        finally:
            await new.close()
    _print_report(report, as_json)
    if stop.by is not None:
        return BY_SIGNAL + stop.by
    return ExitCode.DONE if report.complete else ExitCode.INCOMPLETE


def _print_report(report: Report, as_json: bool) -> None:
    if as_json:
        document = {
            "moved": _by_word(report.moved),
            "left": _by_word(report.left),
            "kept": report.kept,
            "unanswered": report.unanswered,
            "open_elsewhere": report.open_elsewhere,
            "openers": report.openers,
        }
        click.echo(json_text(document))
        return
    columns = (Column("What"), Column("Moved", right=True), Column("Left", right=True))
    rows = [
        (kind.value, f"{report.moved.get(kind, 0):,}", "-" if kind.copied else f"{report.left.get(kind, 0):,}")
        for kind in Kind
    ]
    print_table(terminal(), columns, rows)
    if report.unanswered:
        click.echo(f"Not confirmed in time, and moved again: {report.unanswered:,}. They may run twice.")
    if report.open_elsewhere:
        who = ", ".join(report.openers) or "another user's process"
        click.echo(printable(f"The old file is still open elsewhere, and may get new events: {who}. Move again later."))


def _print_found(found: Found, as_json: bool) -> None:
    stock = found.stock
    if as_json:
        document = {"would_move": _by_word(found.counts), "consumers": stock.consumers, "in_hand": stock.in_hand}
        click.echo(json_text(document))
        return
    rows = [(kind.value, f"{found.counts.get(kind, 0):,}") for kind in Kind]
    print_table(terminal(), (Column("What"), Column("Would move", right=True)), rows)
    if stock.consumers:
        click.echo(
            f"{stock.consumers} consumers take events from the old file, and have {stock.in_hand:,} in hand: the move"
            " waits until they have ended."
        )


def _by_word(counts: Mapping[Kind, int]) -> dict[str, int]:
    return {kind.name.lower(): counts.get(kind, 0) for kind in Kind}
