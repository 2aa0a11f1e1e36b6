"""`bridge-relay`: publishes the events that `defer()` has written to the spool and to outboxes, and jobs of Sidekiq.

It is in this package because it is the publishing half of a web process. It loads no app, and reads `.env` as the app
does.
"""

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import click
import uvloop

from bridge.brokers.opening import open_broker_of
from bridge.config.dot_env import environment
from bridge.config.settings import Settings, load_settings
from bridge.config.store_settings import outboxes, relayed_queues
from bridge.console import options
from bridge.console.log_setup import configure_logging
from bridge.console.program import program, version_option
from bridge.console.service_manager import ServiceManager
from bridge.console.signals import stop_on_signals
from bridge.deadline import Deadline
from bridge.errors import BrokerRefused, BrokerUnavailable, SettingsError
from bridge.logger import log
from bridge.looking import is_missing
from bridge.moments import Tell
from bridge.publishing.lazy_publisher import LazyPublisher
from bridge.publishing.outboxes import of_outbox
from bridge.publishing.sidekiq_queues import sidekiq_store
from bridge.publishing.spool.spool_file import SpoolFile, spool_file
from bridge.publishing.spooling_publisher import SpoolingPublisher
from bridge.publishing.store_relay import StoreRelay
from bridge.watchers.from_settings import named_watchers
from bridge.watchers.notify import Watchers

if TYPE_CHECKING:
    from bridge.publishing.outbox.outbox_relay import OutboxRelay


@program("bridge-relay --config /etc/shop/bridge.toml", reads_dot_env=True)
@options.broker_url()
@options.namespace()
@click.option("--spool", metavar="FILE", help="The spool's file [bridge-spool.db].")
@options.config()
@options.logs
@version_option
def main(config: str | None, log_format: Any, log_level: Any, **overrides: Any) -> None:
    """Publish the events that `defer()` has written to this host's spool and to the outboxes of [stores], and the jobs
    of the Sidekiq queues there, when the broker answers, until SIGTERM.

    Web processes relay the spool too, between their requests; one process of a host relays it at a time. Several
    bridge-relay share the work of an outbox or a Sidekiq queue.

    Exit codes: 0 stopped by a signal; 2 wrong usage or settings; 3 the broker refuses.
    """
    configure_logging(log_format, log_level)
    manager = ServiceManager.of_this_process()
    settings = load_settings(command_line=overrides, file=config, environ=environment())
    file = spool_file(settings)
    stores = settings.values.stores
    if file is None and not outboxes(stores) and not relayed_queues(stores):
        raise SettingsError(
            f"broker_url = {settings.values.broker_url!r}: expected RabbitMQ, or an outbox or a Sidekiq queue with "
            "classes in [stores]; SQLite needs no spool"
        )
    uvloop.run(_until_stopped(settings, file, Watchers(named_watchers(settings)), manager))


async def _until_stopped(settings: Settings, file: SpoolFile | None, tell: Tell, manager: ServiceManager) -> None:
    with stop_on_signals(lambda: log.info("received a stop signal; closing the relay")) as stop:
        await _relay(settings, file, stop.wished, tell, manager)


async def _relay(
    settings: Settings, file: SpoolFile | None, stop: asyncio.Event, tell: Tell, manager: ServiceManager
) -> None:
    """Relay until `stop` is set. Raise `BrokerRefused` if the broker refuses at the start; retry a later refusal."""
    publisher = LazyPublisher(partial(open_broker_of, settings), settings.queues())
    relays = _relays(settings, publisher, tell)
    try:
        await publisher.ready(Deadline.after(0.5, time.monotonic()))
    except BrokerUnavailable as error:
        if isinstance(error.__cause__, BrokerRefused):
            await publisher.close()
            raise error.__cause__ from None
    spool = None if file is None else SpoolingPublisher(publisher, file, tell, creates=False)
    if spool is not None and file is not None:
        spool.start()
        if is_missing(file.path):
            log.info("there is no spool %s yet; the app makes it when it spools an event", file.path)
        log.info("relaying the events of the spool", extra={"spool": str(file.path), "broker": publisher.name})
    for relay in relays:
        relay.start()
        log.info("relaying the events of %s", relay.name, extra={"broker": publisher.name})
    relayed = "the spool" if not relays else "the stores" if file is None else "the spool and the stores"
    manager.ready(f"relaying the events of {relayed}")
    informing = asyncio.create_task(manager.keep_informed(str))
    await stop.wait()
    informing.cancel()
    manager.stopping()
    await asyncio.gather(*(relay.close() for relay in relays))
    await (publisher if spool is None else spool).close()


def _relays(settings: Settings, publisher: LazyPublisher, tell: Tell) -> "list[OutboxRelay | StoreRelay]":
    """Return the relay of each store. Raise `SettingsError` if one cannot be used on this machine."""
    values = settings.values
    found: list[OutboxRelay | StoreRelay] = []
    for outbox in outboxes(values.stores).values():
        found.append(of_outbox("outbox_relay").OutboxRelay(outbox, values.namespace, publisher, tell))
    for queue in relayed_queues(values.stores).values():
        found.append(StoreRelay(sidekiq_store(queue, values), publisher, tell))
    return found
