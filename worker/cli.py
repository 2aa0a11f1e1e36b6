"""`bridge-worker`: the command line."""

import sys
from typing import Any

import click
import uvloop

from bridge.errors import SettingsError
from bridge.settings import Settings, load_settings
from bridge.telemetry import configure_logging
from worker.service import Exit, Order, serve
from worker.until import Until


@click.command(
    epilog="Examples: bridge-worker shop:app --broker-url amqp://localhost/ --children 4; "
    "bridge-worker --fastcgi unix:/run/shop.sock",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("app", envvar="FLASK_APP", required=False)
@click.option("--fastcgi", multiple=True, metavar="ADDRESS", help="No APP, but a pool at unix:/PATH or HOST:PORT.")
@click.option("--connections", type=click.IntRange(1), metavar="N", help="Connections to each such address. [4]")
@click.option("--broker-url", metavar="URL", help="sqlite:///bridge.db, or amqp://host/ (several hosts: h1,h2).")
@click.option("--namespace", metavar="NAME", help="The prefix of all names on the broker. [bridge]")
@click.option("--config", metavar="FILE", help="The settings' file. [bridge.toml, where there is one]")
@click.option("--children", type=click.IntRange(1), metavar="N", help="Processes that serve the app. [CPU cores]")
@click.option("--spare", type=click.IntRange(0), metavar="N", help="Warm children that wait for a loss. [1]")
@click.option("--preload", is_flag=True, default=None, help="Import the app once, and fork the children from it.")
@click.option("--grace", metavar="TIME", help="What runs at SIGTERM may take so long, such as 30s. [30s]")
@click.option("--until-empty", is_flag=True, help="End when nothing is ready and nothing runs here.")
@click.option("--until-settled", is_flag=True, help="End when, besides, nothing waits for its time.")
@click.option("--max-events", type=click.IntRange(1), metavar="N", help="End after so many events.")
@click.option("--idle-exit", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="End when idle so long.")
@click.option("--log-format", type=click.Choice(("text", "json")), default="text", show_default=True)
@click.version_option(package_name="deferred-event-bridge")
def main(
    app: str | None,
    fastcgi: tuple[str, ...],
    connections: int | None,
    config: str | None,
    until_empty: bool,
    until_settled: bool,
    max_events: int | None,
    idle_exit: float | None,
    log_format: Any,
    **overrides: Any,
) -> None:
    """Replay deferred events into APP, named as `flask --app` takes it (shop:app, "shop:create_app()"), or into a
    FastCGI pool that others run.

    Settings come from the options, then the environment's BRIDGE_*, then bridge.toml; the app's Flask config may say
    where the broker is. SIGTERM finishes what runs and
    ends; a second one ends now. SIGHUP reloads the app, SIGTTIN and SIGTTOU are one child more and one less; see also
    bridge-status. Exit codes: 0 done or asked to stop, 2 usage or settings, 3 the broker cannot be reached or refuses,
    4 the app cannot boot.
    """
    configure_logging(log_format)
    try:
        settings = load_settings(command_line={**overrides, **_pool_named(fastcgi, connections)}, file=config)
    except SettingsError as error:
        click.echo(f"bridge-worker: {error}", err=True)
        sys.exit(Exit.SETTINGS)
    order = Order(
        _app_named(app, fastcgi, settings), settings, Until(until_empty, until_settled, idle_exit), max_events
    )
    sys.exit(uvloop.run(serve(order)))


def _pool_named(fastcgi: tuple[str, ...], connections: int | None) -> dict[str, Any]:
    """Return what the options say of the pool that others run, as `[fastcgi]` says it."""
    said = {"addresses": fastcgi or None, "connections": connections}
    table = {key: value for key, value in said.items() if value is not None}
    return {"fastcgi": table} if table else {}


def _app_named(app: str | None, fastcgi: tuple[str, ...], settings: Settings) -> str | None:
    """Return the app for a pool of our own, None for one that others run. The strongest that names one has its way:
    the command line, then FLASK_APP, then bridge.toml."""
    source = click.get_current_context().get_parameter_source("app")
    if fastcgi and app is not None and source is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("APP is for a pool of our own, --fastcgi for one that others run: expected one of them.")
    if fastcgi:
        return None
    if app is None and (settings.values.fastcgi is None or not settings.values.fastcgi.addresses):
        raise click.UsageError("expected APP, or --fastcgi ADDRESS, or addresses under [fastcgi] in bridge.toml.")
    return app
