"""`bridge-worker`: the command line."""

import gc
import sys
from typing import Any

import click
import uvloop

from bridge.config.dot_env import environment
from bridge.config.settings import Settings, load_settings
from bridge.config.worker_groups import group_named, queues_of_worker, with_group
from bridge.console import options
from bridge.console.first_process import run_under_an_init
from bridge.console.log_setup import configure_logging
from bridge.console.program import program, version_option
from bridge.console.service_manager import ServiceManager
from worker.events.until import Until
from worker.pool.app_directory import enter_app_directory
from worker.run import WorkerOptions
from worker.service import serve

COLLECTED_AFTER = 5_000
"""New objects after which the garbage collector looks for cycles. At 700, the threshold of Python 3.11, it takes 4 % of
the CPU of a worker, and looks at all objects every few seconds, for some 20 ms."""


@program(
    "bridge-worker shop:app --broker-url amqp://localhost/ --children 4",
    "bridge-worker --fastcgi unix:/run/shop.sock",
    "bridge-worker shop:app --queue mail --queue default",
    reads_dot_env=True,
)
@click.argument("app", required=False)
@click.option("--fastcgi", multiple=True, metavar="ADDRESS", help="Use the pool at unix:/PATH or HOST:PORT, not APP.")
@click.option("--connections", type=click.IntRange(1), metavar="N", help="Connections to each ADDRESS. [4]")
@click.option("--chdir", metavar="DIR", help="The directory of APP, looked up again at each SIGHUP. [.]")
@click.option("--queue", "queues", multiple=True, metavar="NAME", help="Serve this queue of bridge.toml. [all]")
@click.option("--group", metavar="NAME", help="Serve the queues of [workers.NAME] in bridge.toml, with its settings.")
@options.broker_url()
@options.namespace()
@options.config()
@click.option("--children", type=click.IntRange(1), metavar="N", help="Processes that serve the app. [CPU cores]")
@click.option("--spare", type=click.IntRange(0), metavar="N", help="Warm children that replace lost ones. [1]")
@click.option("--preload", is_flag=True, default=None, help="Import the app once, and fork the children from it.")
@click.option("--grace", metavar="TIME", help="Time for running events to finish after SIGTERM. [30s]")
@click.option("--until-empty", is_flag=True, help="End when no event is ready or running here.")
@click.option("--until-settled", is_flag=True, help="End when also no event waits for its time.")
@click.option("--max-events", type=click.IntRange(1), metavar="N", help="End after N events.")
@click.option(
    "--idle-exit",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="End after this long without an event.",
)
@options.logs
@version_option
def main(
    app: str | None,
    fastcgi: tuple[str, ...],
    connections: int | None,
    chdir: str | None,
    queues: tuple[str, ...],
    group: str | None,
    config: str | None,
    until_empty: bool,
    until_settled: bool,
    max_events: int | None,
    idle_exit: float | None,
    log_format: Any,
    log_level: Any,
    **overrides: Any,
) -> None:
    """Replay deferred events into APP, named as `flask --app` takes it (shop:app, "shop:create_app()"), or into a
    FastCGI pool that others run.

    Settings come from the options, then the environment's BRIDGE_*, then bridge.toml; the app's Flask config may name
    the broker. On SIGTERM the worker finishes the running events and ends; a second one ends it at once. SIGHUP reloads
    the app; SIGTTIN adds a child, SIGTTOU removes one. bridge-status shows the worker. Exit codes: 0 done or asked to
    stop, 2 usage or settings, 3 the broker cannot be reached or refuses, 4 the app cannot boot.
    """
    run_under_an_init()
    configure_logging(log_format, log_level)
    manager = ServiceManager.of_this_process()
    directory = enter_app_directory(chdir)
    environ, named = environment(), _pool_named(fastcgi, connections)
    settings = load_settings(command_line={**overrides, **named}, file=config, environ=environ)
    of_group = None
    if group is not None:
        settings, of_group = with_group(settings, group), group_named(settings, group).app
    served = queues_of_worker(settings, queues, group)
    found_app = _app_named(app, of_group or environ.get("FLASK_APP"), fastcgi, settings)
    gc.set_threshold(COLLECTED_AFTER)
    until = Until(until_empty, until_settled, idle_exit)
    run_options = WorkerOptions(found_app, settings, until, max_events, directory, served, manager)
    sys.exit(uvloop.run(serve(run_options)))


def _pool_named(fastcgi: tuple[str, ...], connections: int | None) -> dict[str, Any]:
    """Return the options of a foreign pool, in the form of the table `[fastcgi]` of the settings."""
    given = {"addresses": fastcgi or None, "connections": connections}
    table = {key: value for key, value in given.items() if value is not None}
    return {"fastcgi": table} if table else {}


def _app_named(given: str | None, named: str | None, fastcgi: tuple[str, ...], settings: Settings) -> str | None:
    """Return the app for the worker's own pool, None for a foreign pool. The command line wins over the app that is
    `named` elsewhere (by the group or FLASK_APP), and that one over `[fastcgi]` in bridge.toml. Raise `UsageError` if
    both or neither are given."""
    if fastcgi and given is not None:
        raise click.UsageError("expected either APP or --fastcgi, got both.")
    if fastcgi:
        return None
    app = given or named
    if app is None and (settings.values.fastcgi is None or not settings.values.fastcgi.addresses):
        raise click.UsageError("expected APP, or --fastcgi ADDRESS, or addresses under [fastcgi] in bridge.toml.")
    return app
