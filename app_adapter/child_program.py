"""The main program of a child: boot and warm the app, report, serve.

`bridge.child_protocol` has the options and the report. With `--nursery N --control M` the process is a nursery, which
imports the app and forks such children. The pool (`worker/pool/`) starts, watches and ends these processes.
"""

import argparse
import gc
import os
import signal
import socket
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

from flask import Flask

from app_adapter.app_state import AppState
from app_adapter.booting import load, warm_up
from app_adapter.child_setup import prepare, reporting, tie_to_parent
from app_adapter.descendants import end_if_copy, handle, keep_from_descendants, kept_from_descendants, own_copy
from app_adapter.nursery import nurse
from app_adapter.plain_sockets import plain_socket
from app_adapter.standard_streams import STDOUT
from bridge.child_protocol import (
    CONTROL_OPTION,
    NEWS_OPTION,
    NURSERY_OPTION,
    SERVE_OPTION,
    SHARED_SETTINGS,
    STACKS_OPTION,
    TOKENS_OPTION,
    Inherited,
    Ready,
)


class Service(Protocol):
    """The work of a child after its boot, on the socket that it inherited."""

    def run(self) -> bool:
        """Serve until the end. Return False if the client broke the protocol."""

    def drain(self) -> None:
        """Finish the running request, and end. A signal handler calls it, at any point of the process."""


class Channels(NamedTuple):
    """The parts of `Inherited` that the service of a child needs. `output` is a copy that the app does not know, so it
    leads to the pool whatever the app does with its stdout."""

    serve: socket.socket
    news: socket.socket
    tokens: socket.socket
    output: int


ServiceFactory = Callable[[Channels, AppState], Service]
"""Makes the service of a child from what it inherits and the state of its app."""


WarmUpServiceFactory = Callable[[socket.socket, Flask], Service]


def main(service: ServiceFactory, warm_up_service: WarmUpServiceFactory) -> int:
    """Boot, report and serve, or be the nursery of children that do. `warm_up_service` serves the warm-up request.

    Return the exit code: 0 after serving, 1 if the app cannot boot or the client broke the protocol.
    """
    parser = argparse.ArgumentParser(description="One process of the pool.")
    option = parser.add_argument
    option(SERVE_OPTION, dest="serve", type=int, help="descriptor of a connected stream socket to serve FastCGI on")
    option(CONTROL_OPTION, dest="control", type=int, required=True, help="descriptor for the report, a line of JSON")
    option(STACKS_OPTION, dest="stacks", type=int, help="descriptor for the stacks of all threads at SIGUSR2")
    option(NEWS_OPTION, dest="news", type=int, help="descriptor of a socket for datagrams about the event that runs")
    option(TOKENS_OPTION, dest="tokens", type=int, help="descriptor of a socket with the start tokens of requests")
    option(NURSERY_OPTION, dest="orders", type=int, help="descriptor of a socket with orders to fork children")
    option("app", help="the app, in the notation of 'flask --app', such as shop:app")
    arguments = parser.parse_args()
    child = None not in (arguments.serve, arguments.stacks, arguments.news, arguments.tokens)
    if child is (arguments.orders is not None):
        of_a_child = f"{SERVE_OPTION}, {STACKS_OPTION}, {NEWS_OPTION} and {TOKENS_OPTION}"
        parser.error(f"expected {of_a_child}, or {NURSERY_OPTION} alone")
    tie_to_parent()
    run = partial(_run_child, service, warm_up_service)
    if child:
        given = arguments
        inherited = Inherited(given.serve, given.control, given.stacks, STDOUT, given.news, given.tokens)
        return run(inherited, partial(load, arguments.app))
    return _run_nursery(arguments.orders, arguments.control, arguments.app, run)


def _run_nursery(orders: int, control: int, app: str, run: Callable[[Inherited, Callable[[], AppState]], int]) -> int:
    """Import the app, and fork a child for each order. In each child, return only after the child has served."""
    owner = os.getpid()
    _leave_ctrl_c_to_the_pool()
    state: AppState | None = None
    with kept_from_descendants(orders), reporting(control) as report:
        state = load(app)
        end_if_copy(owner)
        report(Ready())
    if state is None:
        return 1
    loaded = state
    inherited = nurse(orders)
    return 0 if inherited is None else run(inherited, lambda: loaded)


def _run_child(
    service: ServiceFactory,
    warm_up_service: WarmUpServiceFactory,
    inherited: Inherited,
    load: Callable[[], AppState],
) -> int:
    owner = os.getpid()
    _leave_ctrl_c_to_the_pool()
    prepare(inherited.stacks)
    serve, news, tokens = (plain_socket(each) for each in (inherited.serve, inherited.news, inherited.tokens))
    for sock in (serve, news, tokens):
        keep_from_descendants(sock)
    channels = Channels(serve, news, tokens, own_copy(STDOUT))
    serving: Service | None = None
    with reporting(inherited.control) as report:
        state = load()
        end_if_copy(owner)
        warm_up(state, lambda app, sock: warm_up_service(sock, app).run())
        end_if_copy(owner)
        gc.collect()
        gc.freeze()  # a warm app lives as long as its child, so the collector need not examine it each time
        values = state.settings.values
        serving = service(channels, state)
        handle(signal.SIGTERM, serving.drain)
        shared = {key: str(getattr(values, key)) for key in SHARED_SETTINGS}
        report(Ready(values.release, shared, values.max_body))
    try:
        return 0 if serving is not None and serving.run() else 1
    finally:
        # A thread of the app may keep this process alive, and the pool must know that it serves no more.
        channels.serve.close()


def _leave_ctrl_c_to_the_pool() -> None:
    """Do nothing at SIGINT: Ctrl-C reaches the pool too, which ends this process. To ignore the signal would be wrong,
    because every program that the app starts would inherit that."""
    handle(signal.SIGINT, lambda: None)
