"""`bridge-worker`: the command line."""

import sys
from typing import Any

import click
import uvloop

from bridge.errors import SettingsError
from bridge.settings import load_settings
from bridge.telemetry import configure_logging
from worker.service import Exit, Order, serve
from worker.until import Until


@click.command(epilog="Example: bridge-worker shop:app --broker-url amqp://localhost/ --children 4")
@click.argument("app", envvar="FLASK_APP")
@click.option("--broker-url", metavar="URL", help="sqlite:///bridge.db, or amqp://host/ (several hosts: h1,h2).")
@click.option("--namespace", metavar="NAME", help="The prefix of all names on the broker. [bridge]")
@click.option("--config", metavar="FILE", help="The settings' file. [bridge.toml, where there is one]")
@click.option("--children", type=click.IntRange(1), metavar="N", help="Processes that serve the app. [CPU cores]")
@click.option("--grace", metavar="TIME", help="What runs at SIGTERM may take so long, such as 30s. [30s]")
@click.option("--until-empty", is_flag=True, help="End when nothing is ready and nothing runs here.")
@click.option("--until-settled", is_flag=True, help="End when, besides, nothing waits for its time.")
@click.option("--max-events", type=click.IntRange(1), metavar="N", help="End after so many events.")
@click.option("--idle-exit", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="End when idle so long.")
@click.option("--log-format", type=click.Choice(("text", "json")), default="text", show_default=True)
@click.version_option(package_name="deferred-event-bridge")
def main(
    app: str,
    config: str | None,
    until_empty: bool,
    until_settled: bool,
    max_events: int | None,
    idle_exit: float | None,
    log_format: Any,
    **overrides: Any,
) -> None:
    """Replay deferred events into APP, named as `flask --app` takes it (shop:app, "shop:create_app()").

    Settings come from the options, then the environment's BRIDGE_*, then bridge.toml. SIGTERM finishes what runs and
    ends; a second one ends now. Exit codes: 0 done or asked to stop, 2 usage or settings, 3 the broker cannot be
    reached or refuses, 4 the app cannot boot.
    """
    configure_logging(log_format)
    try:
        settings = load_settings(command_line=overrides, file=config)
    except SettingsError as error:
        click.echo(f"bridge-worker: {error}", err=True)
        sys.exit(Exit.SETTINGS)
    order = Order(app, settings, Until(until_empty, until_settled, idle_exit), max_events)
    sys.exit(uvloop.run(serve(order)))
