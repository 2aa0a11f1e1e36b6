"""`bridge-top`: the screens Now and Pool of the page, in a terminal, anew every two seconds."""

import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click
from rich.live import Live

from bridge.config.dashboard_settings import Role
from bridge.console import options
from bridge.console.actor import actor
from bridge.console.exit_codes import ExitCode
from bridge.console.printable import json_text
from bridge.console.program import program, version_option
from bridge.console.site_options import Site, site_options
from bridge.console.terminal import terminal
from deferred_event_bridge.dashboard.access import User
from deferred_event_bridge.dashboard.observing import Observer
from deferred_event_bridge.dashboard.screens import now, pool
from deferred_event_bridge.dashboard.screens.asked import Asked
from deferred_event_bridge.dashboard.top_drawing import drawn

DRAWN_EVERY = 0.5
FIRST_LOOK = 20.0
"""The longest time in seconds until `--once` and `--json` have seen the site."""


@program("bridge-top", "bridge-top --once", "bridge-top --json | jq .now.headline")
@click.option("--once", is_flag=True, help="Print the screens once.")
@options.as_json("Print both screens as one JSON object, once.")
@site_options
@version_option
@click.pass_obj
def main(site: Site | None, /, once: bool, as_json: bool) -> None:
    """Watch the site in a terminal: whether its queues keep up, what is broken, and what each worker runs.

    It shows what the screens Now and Pool of the page show, and changes nothing. Ctrl-C ends it. Exit codes: 0 shown;
    1 with --once or --json, something is broken; 2 usage or settings; 3 with --once or --json, the broker cannot be
    asked.
    """
    observer = Observer((site or Site()).settings())
    try:
        if as_json or once or not sys.stdout.isatty():
            sys.exit(_show_once(observer, as_json=as_json))
        _watch(observer)
    except KeyboardInterrupt:
        sys.exit(ExitCode.DONE)
    finally:
        observer.close()


def _show_once(observer: Observer, *, as_json: bool) -> ExitCode:
    """Print what is seen as soon as all is known, and return the exit code."""
    end = time.monotonic() + FIRST_LOOK
    while not _is_known(observer) and time.monotonic() < end:
        time.sleep(0.05)
    documents = _documents(observer)
    if as_json:
        click.echo(json_text(documents, indent=2))
    else:
        console = terminal()
        console.print(drawn(**documents, lines=_lines(observer), width=console.width), soft_wrap=False)
    if documents["now"]["unreachable"]:
        return ExitCode.BROKER
    is_broken = "bad" in (documents["now"]["level"], documents["pool"]["level"])
    return ExitCode.INCOMPLETE if is_broken else ExitCode.DONE


def _is_known(observer: Observer) -> bool:
    seen = observer.seen()
    return bool(seen.trouble) or (seen.roll is not None and seen.ledger_read)


def _watch(observer: Observer) -> None:
    """Draw what is seen until Ctrl-C."""
    console = terminal()
    with Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            live.update(drawn(**_documents(observer), lines=_lines(observer), width=console.width), refresh=True)
            time.sleep(DRAWN_EVERY)


def _documents(observer: Observer) -> Mapping[str, Any]:
    asked = Asked(observer, User(actor(), Role.SEE), {}, datetime.now(UTC))
    return {"now": now.document(asked), "pool": pool.document(asked)}


def _lines(observer: Observer) -> Mapping[str, list[int]]:
    """Return the ready events of each queue over time, oldest first."""
    points = observer.seen().points
    return {name: [ready.get(name, 0) for _, ready in points] for name in dict(points[-1][1] if points else {})}
