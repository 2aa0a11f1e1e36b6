"""`bridge-pool`: the command line."""

import sys
from typing import Any

import click
import uvloop

from bridge.errors import SettingsError
from bridge.foreign_pool import Address
from bridge.settings import load_settings
from bridge.telemetry import configure_logging
from worker.pool.listener import Access
from worker.pool.service import Exit, Order, serve


@click.command(
    epilog="Example: bridge-pool shop:app --bind unix:/run/shop/app.sock --socket-group www-data",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("app", envvar="FLASK_APP")
@click.option("--bind", required=True, metavar="ADDRESS", help="unix:/absolute/path, or HOST:PORT.")
@click.option("--socket-mode", metavar="MODE", help="Who may connect to the Unix socket. [0600; with a group 0660]")
@click.option("--socket-group", metavar="GROUP", help="The group of the Unix socket, by name or number.")
@click.option("--config", metavar="FILE", help="The settings' file. [bridge.toml, where there is one]")
@click.option("--children", type=click.IntRange(1), metavar="N", help="Processes that serve the app. [CPU cores]")
@click.option("--spare", type=click.IntRange(0), metavar="N", help="Warm children that wait for a loss. [1]")
@click.option("--preload", is_flag=True, default=None, help="Import the app once, and fork the children from it.")
@click.option("--grace", metavar="TIME", help="What runs at SIGTERM may take so long, such as 30s. [30s]")
@click.option("--log-format", type=click.Choice(("text", "json")), default="text", show_default=True)
@click.version_option(package_name="deferred-event-bridge")
def main(
    app: str,
    bind: str,
    socket_mode: str | None,
    socket_group: str | None,
    config: str | None,
    log_format: Any,
    **overrides: Any,
) -> None:
    """Serve APP, named as `flask --app` takes it, over FastCGI: to web servers, and to bridge-worker --fastcgi.

    SIGTERM finishes what runs and ends; a second one ends now. SIGHUP boots the app's new version beside the old one
    and lets it take over; SIGTTIN and SIGTTOU are one child more and one less. Exit codes: 0 asked to stop, 2 usage or
    settings, 4 the app cannot boot.
    """
    configure_logging(log_format)
    try:
        order = Order(
            app,
            _address(bind),
            _access(bind, socket_mode, socket_group),
            load_settings(command_line=overrides, file=config),
        )
    except SettingsError as error:
        click.echo(f"bridge-pool: {error}", err=True)
        sys.exit(Exit.SETTINGS)
    sys.exit(uvloop.run(serve(order)))


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
