"""`bridge-relay`: publishes what `defer()` has put into the spool, for hosts whose web processes come and go. It is the
publishing half of a web process, and so stands beside it; it loads no app."""

import asyncio
import signal
import sys
from functools import partial
from typing import Any, NoReturn

import click

from bridge.brokers.declared import DeclaredPublisher
from bridge.brokers.opening import open_broker
from bridge.brokers.spool.publisher import SpoolingPublisher
from bridge.brokers.spool.spool_file import SpoolFile, spool_file
from bridge.errors import BrokerRefused, BrokerUnavailable, SettingsError
from bridge.settings import Settings, load_settings
from bridge.telemetry import configure_logging, log

USAGE, BROKER = 2, 3
"""Exit codes: what was asked for cannot be done as it stands; the broker refuses."""


@click.command(
    epilog="Example: bridge-relay --config /etc/shop/bridge.toml",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--broker-url", metavar="URL", help="amqp://… or amqps://…, else as the site's settings.")
@click.option("--namespace", metavar="NAME", help="The prefix of all names on the broker. [bridge]")
@click.option("--spool", metavar="FILE", help="The spool. [bridge-spool.db]")
@click.option("--config", metavar="FILE", help="The settings' file. [bridge.toml, where there is one]")
@click.option("--log-format", type=click.Choice(("text", "json")), default="text", show_default=True)
@click.version_option(package_name="deferred-event-bridge")
def main(config: str | None, log_format: Any, **overrides: Any) -> None:
    """Publish what `defer()` has put into this host's spool, as soon as the broker answers, until SIGTERM.

    Web processes do the same beside their requests; of all, one at a time does. Exit codes: 0 asked to stop, 2 usage or
    settings, 3 the broker refuses.
    """
    configure_logging(log_format)
    try:
        settings = load_settings(command_line=overrides, file=config)
        asyncio.run(_relay(settings, _spool(settings)))
    except SettingsError as error:
        _stop(error, USAGE)
    except BrokerRefused as error:
        _stop(error, BROKER)


def _spool(settings: Settings) -> SpoolFile:
    file = spool_file(settings)
    if file is None:
        raise SettingsError(f"broker_url = {settings.values.broker_url!r}: expected RabbitMQ; SQLite needs no spool")
    return file


async def _relay(settings: Settings, file: SpoolFile) -> None:
    """Relay until SIGTERM or SIGINT. Raise `BrokerRefused` where the broker refuses at the start; later, it is waited
    for."""
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    values = settings.values
    open_it = partial(open_broker, values.broker_url, values.namespace, declare=values.declare)
    publisher = DeclaredPublisher(open_it, settings.queues())
    try:
        await publisher.ready(0.5)
    except BrokerUnavailable as error:
        if isinstance(error.__cause__, BrokerRefused):
            await publisher.close()
            raise error.__cause__ from None
    relay = SpoolingPublisher(publisher, file)
    relay.start()
    log.info("relaying what is in the spool", extra={"spool": str(file.path), "broker": publisher.name})
    await asked.wait()
    await relay.close()


def _stop(error: Exception, code: int) -> NoReturn:
    click.echo(f"bridge-relay: {error}", err=True)
    sys.exit(code)
