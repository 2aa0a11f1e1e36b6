"""`bridge-status --stacks`: show where the code of a child is now."""

import asyncio
from dataclasses import asdict

import click

from bridge.brokers.any_broker.roll_call import ask_for_stacks
from bridge.config.settings import Settings
from bridge.console.exit_codes import ExitCode
from bridge.console.printable import json_text, printable
from bridge.console.site_options import existing_broker
from bridge.stacks import ChildStacks

NO_STACKS = "The child did not write its stacks in time: it is stopped, blocks SIGUSR2, or has no CPU."


def show_stacks(settings: Settings, pid: int, *, as_json: bool) -> ExitCode:
    """Print the stacks of the child with this process id, of each worker of the site that has one; return the exit
    code: done if there are stacks."""
    found = asyncio.run(_ask(settings, pid))
    if as_json:
        click.echo(json_text([asdict(each) for each in found], indent=2))
    else:
        for each in found:
            event = "" if each.event is None else f", event {each.event}"
            click.echo(printable(f"child {each.pid} of worker {each.host}:{each.worker}{event}"))
            click.echo(printable(each.stacks, lines=True) or NO_STACKS)
    if not found:
        click.echo(f"no worker of the site answers that it has a child {pid}; bridge-status lists them", err=True)
    return ExitCode.DONE if any(each.stacks for each in found) else ExitCode.INCOMPLETE


async def _ask(settings: Settings, pid: int) -> list[ChildStacks]:
    async with existing_broker(settings) as broker:
        return await ask_for_stacks(broker, pid)
