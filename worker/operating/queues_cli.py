"""`bridge-queues`: the commands and their options. `queue_acts` does the work, `queue_pages` prints."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from bridge.brokers.contract.findings import counted
from bridge.console import options
from bridge.console.encoding import argument_text
from bridge.console.exit_codes import ExitCode
from bridge.console.option_values import positive_time, read_by
from bridge.console.printable import json_text, printable
from bridge.console.program import HELP, ProgramGroup, version_option
from bridge.console.site_options import Site, site_options
from bridge.console.terminal import terminal
from bridge.controls import fields_of
from bridge.topics import check_pattern
from worker.operating import queue_acts as acts
from worker.operating.probing import probe as probe_queue
from worker.operating.queue_pages import overview_to_json, page_to_json, print_overview, print_page

_events = click.option(
    "--events", callback=read_by(check_pattern), metavar="PATTERN", help="Instead of a queue: order.paid, order.#"
)

_over = click.option(
    "--over",
    callback=read_by(positive_time),
    metavar="TIME",
    default="1s",
    show_default=True,
    help="Measure the rates for this time: 1s, 1m.",
)


def _why(**attributes: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        "--why", callback=read_by(argument_text), metavar="TEXT", help="The reason, for the record.", **attributes
    )


@click.group(cls=ProgramGroup, without="list", context_settings=HELP)
@version_option
@site_options
def main() -> None:
    """List, pause, resume, probe and purge the queues of a site.

    Without a command: list, with its options.

    \b
    Examples:
      bridge-queues                                          count by queue, with pauses
      bridge-queues pause mail --for 1h --why 'provider down'
      bridge-queues pause --events 'order.#' --why 'wrong prices'
      bridge-queues resume mail
      bridge-queues probe mail                               run one held event now, after a repair
      bridge-queues show mail                                pauses, purges, patterns of one queue
      bridge-queues purge mail --why 'a test'

    \b
    Exit codes: 0 done; 1 not done (nothing to resume or probe, or the answer was no); 2 wrong usage or settings;
    3 the broker cannot be reached or refuses; 130 ended by Ctrl-C, 143 by SIGTERM.
    """


@main.command("list")
@site_options
@_over
@options.as_json("Print one JSON object.")
@click.pass_obj
def list_queues(site: Site | None, /, over: timedelta, as_json: bool) -> None:
    """List the queues with their counts and pauses.

    Events per second in and out are measured meanwhile, for the time of --over. RabbitMQ does not report which queue an
    event that waits belongs to, which is shown as "?".

    \b
    Examples:
      bridge-queues list
      bridge-queues list --over 1m
      bridge-queues list --json | jq '.queues[] | select(.ready > 1000)'
    """
    overview = asyncio.run(acts.overview((site or Site()).settings(), over.total_seconds()))
    if as_json:
        click.echo(json_text(overview_to_json(overview), indent=2))
    else:
        print_overview(terminal(), overview)


@main.command()
@site_options
@click.argument("name")
@_over
@options.as_json("Print one JSON object.")
@click.pass_obj
def show(site: Site | None, /, name: str, over: timedelta, as_json: bool) -> None:
    """Show one queue: counts, rates, patterns, pauses with the event that halted it, and purges.

    \b
    Examples:
      bridge-queues show mail
      bridge-queues show mail --json | jq .pauses
    """
    page = asyncio.run(acts.page((site or Site()).settings(), name, over.total_seconds()))
    if as_json:
        click.echo(json_text(page_to_json(page), indent=2))
    else:
        print_page(terminal(), page)


@main.command()
@site_options
@click.argument("name", required=False)
@_events
@click.option("--for", "seconds", callback=read_by(positive_time), metavar="TIME", help="Resume after: 30m, 2h.")
@_why(required=True)
@options.as_json("Print the pause as one JSON object.")
@click.pass_obj
def pause(site: Site | None, /, name: str | None, events: str | None, seconds: Any, why: str, as_json: bool) -> None:
    """Pause a queue, or the events that match a pattern: every worker begins none of them, within a second.

    Running events finish. Events stay in their queue; with --events each event comes back to its queue after some
    seconds, until it may begin.

    \b
    Examples:
      bridge-queues pause mail --for 1h --why 'provider down'
      bridge-queues pause --events 'order.#' --why 'wrong prices'
    """
    _one_target(name, events)
    until = None if seconds is None else datetime.now(UTC) + seconds
    paused = asyncio.run(acts.pause((site or Site()).settings(), name, events, until, why))
    if as_json:
        click.echo(json_text(fields_of(paused)))
    else:
        click.echo(printable(f"{paused.target}: {paused.reason}. Running events finish; no further event begins."))


@main.command()
@site_options
@click.argument("name", required=False)
@_events
@_why(default="")
@options.as_json("Print the ended pauses as one JSON list.")
@click.pass_obj
def resume(site: Site | None, /, name: str | None, events: str | None, why: str, as_json: bool) -> None:
    """End all pauses of a queue, or of a pattern as it was given to pause.

    \b
    Examples:
      bridge-queues resume mail
      bridge-queues resume --events 'order.#' --why 'prices are right again'
    """
    _one_target(name, events)
    ended = asyncio.run(acts.resume((site or Site()).settings(), name, events, why))
    if as_json:
        click.echo(json_text([fields_of(each) for each in ended]))
    for each in ended:
        click.echo(printable(f"Resumed {each.target}, which was {each.reason}"), err=as_json)
    if not ended:
        click.echo(printable(f"{f'queue {name}' if name else f'events {events}'} is not paused"), err=True)
        click.get_current_context().exit(ExitCode.INCOMPLETE)


@main.command()
@site_options
@click.argument("name")
@options.as_json("Print the workers as one JSON object.")
@click.pass_obj
def probe(site: Site | None, /, name: str, as_json: bool) -> None:
    """Make every worker that holds events of a queue by its breaker run one of them now, as after a repair.

    If it succeeds, the others run again. If it fails, it has spent no attempt, and the events are held on.

    \b
    Examples:
      bridge-queues probe mail
      bridge-queues probe mail --json | jq '.workers[] | select(.probes | not)'
    """
    asked = asyncio.run(probe_queue((site or Site()).settings(), name))
    if as_json:
        click.echo(json_text({"queue": name, **asdict(asked)}))
    for each in asked.workers:
        does = "probes now" if each.probes else "has not answered"
        click.echo(printable(f"worker {each.host}:{each.pid} {does}; it held events by {each.why}"), err=as_json)
    if not asked.workers:
        click.echo(printable(f"no worker holds events of queue {name} by a breaker"), err=True)
    if asked.missing:
        click.echo(f"{counted(asked.missing, 'worker')} cannot be asked: bridge-status --site", err=True)
    if not asked.all_probe:
        click.get_current_context().exit(ExitCode.INCOMPLETE)


@main.command()
@site_options
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_why(required=True)
@options.as_json("Print the purge as one JSON object.")
@click.pass_obj
def purge(site: Site | None, /, name: str, yes: bool, why: str, as_json: bool) -> None:
    """Delete the ready events of a queue for good. They do not become dead letters.

    Events that workers hold finish, and events that wait for their time stay. The number of deleted events is
    recorded with your name and the reason.

    \b
    Examples:
      bridge-queues purge mail --why 'a test flooded it'
      bridge-queues purge mail --why 'a test flooded it' --yes --json
    """
    settings = (site or Site()).settings()
    if not yes and not acts.confirmed(settings, name):
        click.echo("Nothing was changed.", err=True)
        click.get_current_context().exit(ExitCode.INCOMPLETE)
    purged = asyncio.run(acts.purge(settings, name, why))
    if as_json:
        click.echo(json_text(fields_of(purged)))
    else:
        click.echo(f"Deleted {purged.events:,} events of queue {name}.")


def _one_target(name: str | None, events: str | None) -> None:
    if (name is None) == (events is None):
        raise click.UsageError("expected either the name of a queue, or --events PATTERN")


if __name__ == "__main__":
    main(prog_name="bridge-queues")
