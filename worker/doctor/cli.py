"""`bridge-doctor`: the command line."""

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from bridge.brokers.examining import Place, definitions, examine
from bridge.errors import SettingsError
from bridge.findings import Finding, State, ok
from bridge.settings import Settings, load_settings
from bridge.telemetry import configure_logging
from worker.doctor import addresses, installation, rendering, spool, workers

NOT_WELL, BAD_SETTINGS, BROKER_AWAY = 1, 2, 3


@click.command(
    epilog="Example: bridge-doctor --json | jq '.findings[] | select(.state != \"ok\")'",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings for machines.")
@click.option(
    "--definitions", "as_definitions", is_flag=True, help="Print the topology for rabbitmqctl import_definitions."
)
@click.option("--broker-url", metavar="URL", help="sqlite:///bridge.db, or amqp://host/ (several hosts: h1,h2).")
@click.option("--namespace", metavar="NAME", help="The prefix of all names on the broker. [bridge]")
@click.option("--config", metavar="FILE", help="The settings' file. [bridge.toml, where there is one]")
@click.version_option(package_name="deferred-event-bridge")
def main(as_json: bool, as_definitions: bool, config: str | None, **overrides: Any) -> None:
    """Look at all that must be well for events to run, and say what is not, with the next step. Nothing is changed.

    Each line is ok, WRONG, or unknown where this user cannot be told. Exit codes: 0 all is well, 1 something is not or
    could not be told, 2 usage or settings, 3 the broker cannot be reached or refuses.
    """
    configure_logging("text")
    try:
        settings = load_settings(command_line=overrides, file=config)
        place = _place(settings)
        if as_definitions:
            click.echo(json.dumps(definitions(place), indent=2))
            return
        reached, findings = asyncio.run(_examined(settings, place))
    except SettingsError as error:
        click.echo(f"bridge-doctor: {error}", err=True)
        sys.exit(BAD_SETTINGS)
    click.echo(rendering.as_json(findings) if as_json else rendering.as_text(findings))
    if not reached:
        sys.exit(BROKER_AWAY)
    sys.exit(0 if all(finding.state is State.OK for finding in findings) else NOT_WELL)


def _place(settings: Settings) -> Place:
    values = settings.values
    return Place(values.broker_url, values.namespace, settings.queues(), values.declare, values.management_url)


def _settings_read(settings: Settings) -> Finding:
    return ok("settings", f"{settings.file or 'no bridge.toml'}; broker_url from {settings.origin('broker_url')}")


async def _examined(settings: Settings, place: Place) -> tuple[bool, Sequence[Finding]]:
    """Look at everything; the broker and the pools at the same time."""
    values = settings.values
    examination, pools = await asyncio.gather(examine(place), addresses.examine(values.fastcgi))
    return examination.reached, [
        *installation.examine(),
        _settings_read(settings),
        *examination.findings,
        *workers.examine(values),
        *pools,
        *spool.examine(values),
    ]
