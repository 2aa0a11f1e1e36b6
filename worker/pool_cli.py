"""`bridge-pool`: the command line."""

import sys
from typing import Any

import click
import uvloop

from bridge.config.dot_env import environment
from bridge.config.foreign_pool import Address
from bridge.config.settings import load_settings
from bridge.console import options
from bridge.console.first_process import run_under_an_init
from bridge.console.log_setup import configure_logging
from bridge.console.program import program, version_option
from bridge.console.service_manager import ServiceManager
from bridge.errors import SettingsError
from bridge.networks import Networks
from worker.pool.app_directory import enter_app_directory
from worker.pool.front.listening_socket import Access
from worker.pool_service import PoolOptions, serve


@program("bridge-pool shop:app --bind unix:/run/shop/app.sock --socket-group www-data", reads_dot_env=True)
@click.argument("app", required=False)
@click.option("--bind", required=True, metavar="ADDRESS", help="unix:/absolute/path, or HOST:PORT.")
@click.option("--socket-mode", metavar="MODE", help="Mode of the Unix socket. [0600; with a group 0660]")
@click.option("--socket-group", metavar="GROUP", help="The group of the Unix socket, by name or number.")
@click.option("--allow", multiple=True, metavar="NETWORK", help="Take TCP clients of this network only. Repeatable.")
@click.option("--chdir", metavar="DIR", help="The directory of APP, looked up again at each SIGHUP. [.]")
@options.config()
@click.option("--children", type=click.IntRange(1), metavar="N", help="Processes that serve the app. [CPU cores]")
@click.option("--spare", type=click.IntRange(0), metavar="N", help="Warm children that replace lost ones. [1]")
@click.option("--preload", is_flag=True, default=None, help="Import the app once, and fork the children from it.")
@click.option("--grace", metavar="TIME", help="Time for running requests to finish after SIGTERM. [30s]")
@options.logs
@version_option
def main(
    app: str | None,
    bind: str,
    socket_mode: str | None,
    socket_group: str | None,
    allow: tuple[str, ...],
    chdir: str | None,
    config: str | None,
    log_format: Any,
    log_level: Any,
    **overrides: Any,
) -> None:
    """Serve APP, named as `flask --app` takes it, over FastCGI: to web servers, and to bridge-worker --fastcgi.

    On SIGTERM the pool finishes the running requests and ends; a second one ends it at once. SIGHUP boots the app's new
    version while the old one serves, and then replaces it; SIGTTIN adds a child, SIGTTOU removes one. Exit codes:
    0 asked to stop, 2 usage or settings, 4 the app cannot boot.
    """
    run_under_an_init()
    configure_logging(log_format, log_level)
    manager = ServiceManager.of_this_process()
    directory = enter_app_directory(chdir)
    environ = environment()
    app = app or environ.get("FLASK_APP")
    if app is None:
        raise click.UsageError("expected APP, such as shop:app, or FLASK_APP in the environment or .flaskenv.")
    settings = load_settings(command_line=overrides, file=config, environ=environ)
    run_options = PoolOptions(
        app,
        _address(bind),
        _access(bind, socket_mode, socket_group),
        _networks(bind, allow),
        settings,
        directory,
        manager,
    )
    sys.exit(uvloop.run(serve(run_options)))


def _address(bind: str) -> Address:
    try:
        return Address.parsed(bind)
    except ValueError as error:
        raise SettingsError(f"--bind {bind!r}: {error}") from error


def _access(bind: str, mode: str | None, group: str | None) -> Access:
    given = {"--socket-mode": mode, "--socket-group": group}
    for option, value in given.items():
        if value is not None and not bind.startswith("unix:"):
            raise SettingsError(f"{option} {value!r}: expected --bind unix:/absolute/path, got {bind!r}")
    return Access.parsed(mode, group)


def _networks(bind: str, allow: tuple[str, ...]) -> tuple[str, ...]:
    if allow and bind.startswith("unix:"):
        raise SettingsError(f"--allow {allow[0]!r}: expected --bind HOST:PORT, got {bind!r}; see --socket-mode")
    for network in allow:
        try:
            Networks.parsed((network,))
        except ValueError as error:
            raise SettingsError(f"--allow {network!r}: expected a network such as 10.0.0.0/8: {error}") from error
    return allow
