"""The log lines that a worker writes at its start: its pool, its settings, its broker and its queues."""

import asyncio
import contextlib
from collections.abc import Sequence
from importlib.metadata import version

from bridge.brokers.contract.consuming import Consumer
from bridge.config.foreign_pool import ForeignPoolSettings
from bridge.config.settings import Settings
from bridge.errors import BrokerUnavailable
from bridge.logger import log
from bridge.queues import Queue
from worker.control.apps import FOREIGN_POOL, apps_of, serving_one_of
from worker.control.control_socket import workers_of
from worker.pool.child import Child


def log_own_pool(app: str, children: Sequence[Child]) -> None:
    """Log the app, how many children serve it, and how long they took to boot."""
    slowest = max(child.boot_seconds for child in children)
    release = children[0].ready.release
    log.info("bridge-worker %s serves %s", _version(), app)
    log.info(
        "pool: %s, booted and warm after %.2f s%s",
        "1 child" if len(children) == 1 else f"{len(children)} children",
        slowest,
        f", release {release}" if release else "",
    )


def log_foreign_pool(fastcgi: ForeignPoolSettings) -> None:
    """Log the addresses of a foreign pool and their connections."""
    log.info("bridge-worker %s serves a pool that others run", _version())
    for address, connections in fastcgi.connections_by_address.items():
        log.info("pool: %s, at most %d connections", address, connections)


def log_broker(settings: Settings, broker_name: str, queues: Sequence[Queue]) -> None:
    """Log the settings' file, the broker, and which events each queue takes."""
    log.info("settings: %s", settings.file or "no bridge.toml")
    log.info("broker: %s (from %s)", broker_name, settings.origin("broker_url"))
    for queue in queues:
        patterns = ", ".join(queue.patterns)
        rest = "events that no other queue takes" if queue.catch_all else ""
        foreign = f"the messages of {queue.foreign.queue!r}" if queue.foreign is not None else ""
        takes = " and ".join(filter(None, (patterns, rest, foreign)))
        log.info("queue %s: %s", queue.name, takes or "redriven events only, because it has no patterns")
    served = {queue.name for queue in queues}
    if others := [name for name in settings.values.queues if name not in served]:
        log.info("queues for other workers: %s", ", ".join(others))


async def warn_of_unserved_queues(settings: Settings, consumer: Consumer) -> None:
    """Warn of queues that hold events, were declared once, and are not in these settings. RabbitMQ knows the backlog of
    the declared queues only."""
    with contextlib.suppress(BrokerUnavailable):  # the consumer reports a broker that is away
        for name, backlog in (await consumer.backlog()).items():
            events = backlog.ready + backlog.waiting
            if name not in settings.values.queues and events:
                place = settings.file or "the settings"
                log.warning(
                    "queue %s holds %d events and is not in %s: this worker does not serve it", name, events, place
                )


async def warn_of_other_apps(settings: Settings, app: str, queues: Sequence[Queue]) -> None:
    """Warn of workers of this user that run another app and serve one of these queues of the same namespace."""
    workers = await asyncio.to_thread(workers_of, settings.values)
    serving = serving_one_of(workers, [queue.name for queue in queues])
    others = [other for other in apps_of(serving) if other != app]
    if others and app != FOREIGN_POOL:
        log.warning(
            "another worker runs %s with the same broker and namespace: each takes the other's events; give each app a "
            "namespace of its own",
            ", ".join(others),
        )


def _version() -> str:
    return version("deferred-event-bridge")
