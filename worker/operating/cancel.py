"""`bridge-events cancel`: end events that have not begun, wherever they wait. The program `bridge-events` mounts it."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from bridge.cancellations import Cancellation, fields_of
from bridge.config.settings import Settings
from bridge.console import options
from bridge.console.actor import actor
from bridge.console.encoding import argument_text
from bridge.console.printable import printable
from bridge.console.site_options import Site, existing_broker, site_options
from bridge.console.terminal import print_json_lines
from bridge.event import is_uuid, plain_id
from worker.control.controls_log import ControlsLog


def _ids(ctx: click.Context, param: click.Parameter, value: Sequence[str]) -> tuple[str, ...]:
    ids = tuple(map(argument_text, value))
    for each in ids:
        if plain_id(each) != each:
            raise click.BadParameter(printable(f"{each!r:.100}: expected the id of an event, as defer() returns it"))
    return ids


@click.command()
@site_options
@click.argument("ids", nargs=-1, required=True, callback=_ids, metavar="ID...")
@click.option("--running", is_flag=True, help="Also if it runs: its process is killed, as at a timeout.")
@click.option("--why", default="", metavar="TEXT", help="The reason, for the dead letter.")
@options.as_json("Print a JSON object for each event.")
@click.pass_obj
def cancel(site: Any, /, ids: tuple[str, ...], running: bool, why: str, as_json: bool) -> None:
    """Cancel events by their whole ids, not by the ends of ids. An event that has not begun does not begin any more.

    It becomes a dead letter with the reason "cancelled" when its turn comes: at once if it is ready, or when it is
    due. It is too late for an event that has ended, or that runs without --running. Cancellations last 30 days.

    \b
    Examples:
      bridge-events cancel 0192d3e4-8a5b-7c6d-9e0f-1a2b3c4d5e6f --why 'order withdrawn'
      bridge-events cancel 0192d3e4-8a5b-7c6d-9e0f-1a2b3c4d5e6f --running --why 'it hangs'
    """
    now, who, text = datetime.now(UTC), actor(), argument_text(why)
    wished = [Cancellation(each, running, who, text, now) for each in ids]
    asyncio.run(cancel_events((site or Site()).settings(), wished))
    for each in ids:
        if not is_uuid(each):  # as only the id of a foreign message may be
            click.echo(f"Warning: {each} is not the whole id of an event of defer(), which is a UUID.", err=True)
    if as_json:
        print_json_lines(map(fields_of, wished))
        return
    for each in ids:
        also = ", and ends if it runs" if running else ""
        click.echo(f"Cancelled {each}: if it has not begun, it does not begin any more{also}.")


async def cancel_events(settings: Settings, wished: Sequence[Cancellation]) -> None:
    """Record these cancellations. Raise `BrokerUnavailable` or `BrokerRefused`."""
    async with existing_broker(settings) as broker:
        log = ControlsLog(broker, settings.values.namespace, settings.ledger_keys())
        for each in wished:
            await log.cancel(each)
