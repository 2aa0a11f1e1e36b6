"""The demo: runs all programs as real processes, in some fifteen seconds.

It starts a web server, a worker with its pool, and a downstream service that is down from time to time. It sends signed
webhooks over HTTP; the app defers each one, and its listeners process the events. At the end it looks up every event
that a 202 promised, in the app's own database and in the ledger. The exit code is 0 if each event ended in exactly one
way, else 1.

    python -m examples.demo [--broker-url URL] [--page]
"""

import argparse
import asyncio
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from bridge.brokers.contract.ledger import Ledger
from bridge.brokers.opening import open_broker
from bridge.config.settings import load_settings
from bridge.errors import BridgeError

from .accounts import tally
from .display import Progress, show_commands, show_summary
from .page import keep_page_open
from .place import APP, CONFIG, DEFAULT_NAMESPACE, EXAMPLES, PROGRAMS, ROOT, Place
from .processes import DemoFailed, Processes
from .removal import remove
from .sender import WEBHOOKS, Sender

READY_SECONDS = 30.0
SETTLE_SECONDS = 30.0
POLL_SECONDS = 0.2


def main() -> int:
    """Run the demo and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description="Run all programs once, and count.")
    parser.add_argument("--broker-url", metavar="URL", help="amqp://… or sqlite:///…; default: a new SQLite file")
    parser.add_argument("--page", action="store_true", help="then serve the page over the demo's data, until Ctrl-C")
    parser.add_argument("--remove", metavar="NAMESPACE", help="remove the objects of an earlier run from RabbitMQ")
    arguments = parser.parse_args()
    if arguments.remove and not (arguments.broker_url or "").startswith("amqp"):
        parser.error("--remove: expected --broker-url amqp://… too")
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda *_: signal.raise_signal(signal.SIGINT))
    console = Console(highlight=False, soft_wrap=True)
    try:
        if arguments.remove:
            queues = load_settings(file=str(CONFIG)).queues()
            removed = asyncio.run(remove(arguments.broker_url, arguments.remove, queues))
            console.print(f"removed {removed} queues and exchanges of {arguments.remove}")
            return 0
        return asyncio.run(journey(_place(arguments.broker_url), console, with_page=arguments.page))
    except KeyboardInterrupt:
        console.print("\nStopped. All processes have ended.")
        return 130
    except (DemoFailed, BridgeError) as error:
        console.print(str(error), style="red", markup=False)
        return 1


def _place(broker_url: str | None) -> Place:
    directory = Path(tempfile.mkdtemp(prefix="bridge-demo-"))
    secret = secrets.token_hex(16)
    if broker_url is None:
        return Place(directory, f"sqlite:///{directory / 'bridge.db'}", DEFAULT_NAMESPACE, secret)
    url = load_settings(command_line={"broker_url": broker_url}, environ={}).values.broker_url
    # Each run has its own namespace, because the broker may be used by others or have objects of an earlier run.
    return Place(directory, url, f"demo-{secrets.token_hex(3)}", secret)


async def journey(place: Place, console: Console, *, with_page: bool) -> int:
    """Start the processes, send the webhooks, wait until each event has ended, and count. Then serve the page until
    Ctrl-C, if it is wanted. Return the exit code."""
    began = time.monotonic()
    console.print(f"{WEBHOOKS:,} signed webhooks, deferred over {place.broker_url}")
    web, downstream = _listening(), _listening()
    environment = place.environment(downstream.getsockname()[1])
    processes = Processes(place.directory, environment)
    broker = open_broker(place.broker_url, place.namespace)
    ledger = broker.ledger()
    try:
        _start(processes, environment, web, downstream)
        sender = Sender(web.getsockname()[1], place.secret)
        await _first(sender, processes, place, ledger)
        with Progress(console, WEBHOOKS) as progress:
            await _all(sender, processes, place, ledger, progress)
        sender.stop()
        processes.stop("worker")
        result = await tally(sender.answers.deferred, place.database, ledger)
        show_summary(console, result, dict(sender.answers.statuses), time.monotonic() - began)
        console.print(f"\n{place.logs}")
        show_commands(console, place.commands())
        if with_page:
            await keep_page_open(place, processes, console)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave a process behind
        processes.stop_all()
        await ledger.close()
        await broker.close()
    return 0 if result.balances else 1


def _start(processes: Processes, environment: Mapping[str, str], web: socket.socket, downstream: socket.socket) -> None:
    flask = [str(PROGRAMS / "flask"), "--app", APP, "init-database"]
    subprocess.run(flask, cwd=EXAMPLES, env=environment, check=True)
    service = [sys.executable, "-m", "examples.demo.downstream", str(downstream.fileno())]
    processes.start("downstream", service, ROOT, [downstream.fileno()])
    server = [str(PROGRAMS / "gunicorn"), "--workers=2", "--threads=4", "--no-control-socket"]
    processes.start("web", [*server, f"--bind=fd://{web.fileno()}", APP], EXAMPLES, [web.fileno()])
    processes.start("worker", [str(PROGRAMS / "bridge-worker"), APP], EXAMPLES)


async def _first(sender: Sender, processes: Processes, place: Place, ledger: Ledger) -> None:
    """Send the first webhook, and return when its event has been processed: then all processes are ready."""
    deadline = time.monotonic() + READY_SECONDS
    await asyncio.to_thread(sender.send_first)
    if not sender.answers.deferred:
        raise DemoFailed(
            f"the inbox refused the first webhook: it answered {list(sender.answers.statuses)}; {place.logs}"
        )
    while not (await tally(sender.answers.deferred, place.database, ledger)).latencies:
        processes.check()
        if time.monotonic() > deadline:
            raise DemoFailed(f"the first webhook was not processed within {READY_SECONDS:g} s; {place.logs}")
        await asyncio.sleep(POLL_SECONDS)


async def _all(sender: Sender, processes: Processes, place: Place, ledger: Ledger, progress: Progress) -> None:
    """Send the other webhooks; return when each event has ended, or `SETTLE_SECONDS` after the last was sent."""
    sender.start()
    deadline = float("inf")
    while time.monotonic() < deadline:
        processes.check()
        done = sender.is_done()
        now = await tally(sender.answers.deferred, place.database, ledger)
        progress.show(sender.answers.statuses.total(), now)
        if done and now.unaccounted == 0:
            return
        if done:
            deadline = min(deadline, time.monotonic() + SETTLE_SECONDS)
        await asyncio.sleep(POLL_SECONDS)


def _listening() -> socket.socket:
    """Return a listening socket on a free port. A child inherits it, so no other program can take the port."""
    return socket.create_server(("127.0.0.1", 0), backlog=256)


if __name__ == "__main__":
    sys.exit(main())
