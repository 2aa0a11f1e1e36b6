"""`bridge-events`: the commands and their options. The other modules of this package do the work."""

import asyncio
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from bridge.brokers.any_broker.history_reading import history_of, newest
from bridge.config.settings import Settings
from bridge.console import options
from bridge.console.exit_codes import ExitCode
from bridge.console.option_values import positive_time, read_by
from bridge.console.printable import printable
from bridge.console.program import HELP, Failure, ProgramGroup, version_option
from bridge.console.site_options import Site, existing_broker, site_options
from bridge.console.terminal import print_json_lines, print_text, terminal
from bridge.history import Entry, Filter, to_json
from bridge.progress_records import ProgressEntry
from bridge.progress_records import to_json as progress_to_json
from bridge.queues import route
from worker.history.finding import Wanted, find
from worker.history.options import filter_options, which_event
from worker.history.rendering import moment_text, print_entries, progress_sentence, sentence
from worker.history.story import Known, to_document, unknowns_of
from worker.history.story_page import print_story
from worker.history.watching import watch as follow
from worker.operating.cancel import cancel

ROWS = 100
SHOWN = 20
"""The most events with one key, or candidates for the end of an id, that are shown: the newest ones."""


@click.group(cls=ProgramGroup, without="list", context_settings=HELP)
@version_option
@site_options
def main() -> None:
    """Show what became of events: each attempt and each end, as workers recorded them. Cancel events.

    Without a command: list, with its options.

    \b
    Examples:
      bridge-events                                the last 100 attempts
      bridge-events list --outcome dead --since 2h
      bridge-events show 5f0c2a                    everything about the event whose id ends so
      bridge-events watch 5f0c2a --exit-status     wait until the event ends

    \b
    Exit codes: 0 done; 1 not found, or with watch not delivered; 2 wrong usage or settings; 3 the broker cannot be
    reached or refuses; 130 ended by Ctrl-C, 143 by SIGTERM.
    """


@main.command("list")
@site_options
@filter_options
@click.option("--last", type=click.IntRange(1, 100_000), default=ROWS, show_default=True, help="The newest N attempts.")
@options.as_json("Print a JSON object for each attempt.")
@click.pass_obj
def list_events(site: Site, /, last: int, as_json: bool, **chosen: Any) -> None:
    """List attempts, the newest last.

    \b
    Examples:
      bridge-events list --name 'order.#' --since 10m
      bridge-events list --outcome dead --last 1000 --json | jq .error.type
    """
    settings = site.settings()
    entries = asyncio.run(_list(settings, Filter(**chosen), last))
    if as_json:
        print_json_lines(map(to_json, entries))
    elif entries:
        print_entries(terminal(), entries)
    else:
        click.echo(printable(f"No attempt of these in the history.{_off(settings)}"))


@main.command()
@site_options
@which_event
@options.as_json("Print a JSON object for each event.")
@click.pass_obj
def show(site: Site, /, wanted: Wanted, as_json: bool) -> None:
    """Show one event as a line of time: what the history, the ledger of dead letters and the running workers know of
    it, and what cannot be known.

    ID is the whole id of the event or its end.

    \b
    Examples:
      bridge-events show 5f0c2a
      bridge-events show --key order-17 --json
    """
    settings = site.settings()
    found = asyncio.run(_find(settings, wanted))
    if not found:
        raise Failure(f"nothing is known of an event with the {wanted}", ExitCode.INCOMPLETE)
    if wanted.ending is not None and len(found) > 1:
        ids = "".join(f"\n  {known.id} {known.name or ''}" for known in found[-SHOWN:])
        raise Failure(f"{len(found)} events have an id that ends in '{wanted.ending}':{ids}", ExitCode.USAGE)
    now, is_kept = datetime.now(UTC), bool(settings.values.history.keep)
    for at, known in enumerate(found[-SHOWN:]):
        unknown = unknowns_of(known, is_kept=is_kept)
        if as_json:
            print_json_lines([to_document(known, now, unknown)])
        else:
            print_story(terminal(), known, now, unknown, blank_before=at > 0)


@main.command()
@site_options
@which_event
@click.option("--exit-status", is_flag=True, help="Exit with 1 unless the event is delivered.")
@click.option("--timeout", callback=read_by(positive_time), metavar="TIME", help="Wait at most TIME: 30s, 5m.")
@options.as_json("Print a JSON object for each attempt, and for each progress.")
@click.pass_obj
def watch(site: Site, /, wanted: Wanted, exit_status: bool, timeout: timedelta | None, as_json: bool) -> None:
    """Show each attempt of an event, those of before first, and the progress that its listener tells, until the event
    has ended in each of its queues.

    ID is the whole id of the event or its end. The event may be one that has not been deferred yet.

    \b
    Examples:
      bridge-events watch 5f0c2a
      bridge-events watch --key order-17 --exit-status --timeout 5m && ship
    """
    settings = site.settings()
    if not settings.values.history.keep:
        raise Failure("the settings keep no history, so the end of an event is not known", ExitCode.USAGE)

    def shown(entry: Entry | ProgressEntry) -> None:
        if as_json:
            print_json_lines([to_json(entry) if isinstance(entry, Entry) else progress_to_json(entry)])
        else:
            text = sentence(entry) if isinstance(entry, Entry) else progress_sentence(entry)
            print_text(terminal(), f"{moment_text(entry.time)}  {entry.name}  {text}")
        sys.stdout.flush()

    seconds = None if timeout is None else timeout.total_seconds()
    delivered = asyncio.run(_watch(settings, wanted, seconds, shown))
    if delivered is None:
        raise Failure(f"an event with the {wanted} has not ended within {seconds:g} s", ExitCode.INCOMPLETE)
    sys.exit(ExitCode.INCOMPLETE if exit_status and not delivered else ExitCode.DONE)


main.add_command(cancel)


async def _find(settings: Settings, wanted: Wanted) -> list[Known]:
    async with existing_broker(settings) as broker:
        return await find(broker, settings, history_of(broker, settings), wanted)


async def _watch(
    settings: Settings, wanted: Wanted, timeout: float | None, shown: Callable[[Entry | ProgressEntry], None]
) -> bool | None:
    """Return whether the events were delivered; None at the timeout."""
    queues = settings.queues()
    async with existing_broker(settings) as broker:
        try:
            async with asyncio.timeout(timeout):
                return await follow(history_of(broker, settings), wanted, lambda name: route(queues, name), shown)
        except TimeoutError:
            return None


async def _list(settings: Settings, wanted: Filter, last: int) -> list[Entry]:
    async with existing_broker(settings) as broker:
        return await newest(history_of(broker, settings), wanted, last)


def _off(settings: Settings) -> str:
    return "" if settings.values.history.keep else " The history is off: history = {keep = 0}."
