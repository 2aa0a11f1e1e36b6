"""`bridge-bench`: the command line."""

import asyncio
import json
import signal
import sys
from collections.abc import Mapping

import click

from bridge.config.dot_env import environment
from bridge.config.settings import Settings, load_settings
from bridge.console import options
from bridge.console.exit_codes import BY_SIGNAL, ExitCode
from bridge.console.log_setup import configure_logging
from bridge.console.option_values import read_by
from bridge.console.printable import json_text, printable
from bridge.console.program import program, version_option
from bridge.console.signals import Stop, stop_on_signals, unless
from bridge.topics import BENCHMARK, check_name, is_reserved
from worker.bench.result import Result
from worker.bench.running import ALONE, Load, run
from worker.bench.throw_away import throw_away_site

LEAST_EVENTS = 2 * ALONE


def _event_name(text: str) -> str:
    if is_reserved(check_name(text)):
        raise ValueError("expected an event of the app: names that begin with 'bridge.' are reserved")
    return text


def _json(text: str) -> bytes:
    json.loads(text)
    return text.encode()


@program(
    "bridge-bench shop:app",
    "bridge-bench shop:app --broker-url amqp://localhost/ --children 4 --json | jq .events_per_second",
    """bridge-bench shop:app --event account.created --payload '{"id": 17}' --events 500""",
    reads_dot_env=True,
)
@click.argument("app")
@click.option("--events", type=click.IntRange(LEAST_EVENTS), default=10_000, show_default=True, help="The backlog.")
@click.option("--children", type=click.IntRange(1), metavar="N", help="Processes that serve the app. [CPU cores]")
@click.option("--event", callback=read_by(_event_name), metavar="NAME", help="Call the app's own listeners of NAME.")
@click.option("--payload", callback=read_by(_json), metavar="JSON", help="The payload of each event. [null]")
@options.as_json("Print the figures as one JSON object.")
@options.broker_url()
@options.namespace()
@options.config()
@version_option
def main(
    app: str,
    events: int,
    children: int | None,
    event: str | None,
    payload: bytes | None,
    as_json: bool,
    broker_url: str | None,
    namespace: str | None,
    config: str | None,
) -> None:
    """Measure how fast this machine and broker run events of APP, and what limits it.

    Events go to a throw-away namespace of the broker (on SQLite, a new file next to yours), which is removed
    afterwards. Each is a whole request of APP, whose hooks run. A built-in listener does nothing; with --event, the
    app's own listeners run, once for each event. Exit codes: 0 done, 1 an attempt failed or the worker did not go on,
    2 usage or settings, 3 the broker cannot be reached or refuses, 4 the app cannot boot,
    130 ended by Ctrl-C, 143 by SIGTERM.
    """
    configure_logging("text", "warning")
    environ = environment()
    given = {"broker_url": broker_url, "namespace": namespace, "children": children}
    settings = load_settings(command_line=given, file=config, environ=environ)
    load = Load(app, events, event or BENCHMARK, payload if payload is not None else b"null")
    result, stop = asyncio.run(_measured(settings, environ, load))
    if result is None:
        sys.exit(BY_SIGNAL + (stop.by or signal.SIGTERM))
    click.echo(json_text(result.document(), indent=2) if as_json else printable(result.text(), lines=True))
    sys.exit(ExitCode.INCOMPLETE if result.failed else ExitCode.DONE)


async def _measured(settings: Settings, environ: Mapping[str, str], load: Load) -> tuple[Result | None, Stop]:
    """Run the benchmark. The first SIGINT or SIGTERM stops it, and what it made is removed; there is no result then."""
    with stop_on_signals(lambda: click.echo("stopping, and removing what was made …", err=True)) as stop:
        return await unless(stop.wished, _on_a_site(settings, environ, load)), stop


async def _on_a_site(settings: Settings, environ: Mapping[str, str], load: Load) -> Result:
    async with throw_away_site(settings, environ) as site:
        return await run(site, load, lambda text: click.echo(text, err=True))
