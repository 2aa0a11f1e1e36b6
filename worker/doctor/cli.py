"""`bridge-doctor`: the command line."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click

from bridge.brokers.contract.findings import Finding, FindingState, ok
from bridge.brokers.contract.inspection import SiteOnBroker
from bridge.brokers.contract.roles import Role
from bridge.brokers.opening import definitions, inspect, permissions, site_on_broker
from bridge.config.settings import Settings, load_settings
from bridge.console import options
from bridge.console.exit_codes import ExitCode
from bridge.console.log_setup import configure_logging
from bridge.console.printable import json_text
from bridge.console.program import program, version_option
from worker.doctor import (
    addresses,
    apps,
    exposure,
    groups,
    installation,
    ledger,
    modes,
    outboxes,
    pauses,
    rendering,
    schedules,
    sidekiq,
    spool,
    workers,
)


@program(
    "bridge-doctor --json | jq '.findings[] | select(.state != \"ok\")'",
    "bridge-doctor --definitions | rabbitmqctl import_definitions",
)
@options.as_json("Print the findings as one JSON document.")
@click.option(
    "--definitions", "as_definitions", is_flag=True, help="Print the topology for rabbitmqctl import_definitions."
)
@click.option(
    "--permissions",
    "role",
    type=click.Choice([each.value for each in Role]),
    help="Print the commands that make a RabbitMQ user for one role.",
)
@options.broker_url()
@options.namespace()
@options.config()
@version_option
def main(as_json: bool, as_definitions: bool, role: str | None, config: str | None, **overrides: Any) -> None:
    """Check everything that events need to run, and print what is wrong, with the next step. Nothing is changed.

    Each line is ok, WRONG, or unknown if this user may not look. Exit codes: 0 all is well, 1 something is wrong or
    unknown, 2 usage or settings, 3 the broker cannot be reached or refuses.
    """
    configure_logging("text")
    settings = load_settings(command_line=overrides, file=config)
    site = replace(site_on_broker(settings), served=workers.served(settings.values))
    if as_definitions:
        click.echo(json_text(definitions(site), indent=2))
        return
    if role is not None:
        click.echo(permissions(site, Role(role)))
        return
    reached, findings = asyncio.run(_examined(settings, site))
    click.echo(rendering.as_json(findings) if as_json else rendering.as_text(findings))
    if not reached:
        sys.exit(ExitCode.BROKER)
    well = all(finding.state is FindingState.OK for finding in findings)
    sys.exit(ExitCode.DONE if well else ExitCode.INCOMPLETE)


def _settings_read(settings: Settings) -> Finding:
    return ok("settings", f"{settings.file or 'no bridge.toml'}; broker_url from {settings.origin('broker_url')}")


async def _examined(settings: Settings, site: SiteOnBroker) -> tuple[bool, Sequence[Finding]]:
    """Return whether the broker was reached, and the findings. The broker and the pools are checked at the same
    time."""
    values = settings.values
    paused = await pauses.examine(settings)
    site = replace(site, paused=paused.by_queue)
    examination, pools, exposed = await asyncio.gather(
        inspect(site), addresses.examine(values.fastcgi), exposure.examine(values.broker_url)
    )
    return examination.reached, [
        *installation.examine(),
        _settings_read(settings),
        *examination.findings,
        *(await ledger.examine(settings) if examination.reached else ()),
        *(paused.findings if examination.reached else ()),
        *exposed,
        *modes.examine(settings),
        *schedules.examine(settings),
        *workers.examine(values),
        *apps.examine(values),
        *groups.examine(settings),
        *pools,
        *spool.examine(values),
        *(await outboxes.examine(values)),
        *(await sidekiq.examine(values)),
    ]
