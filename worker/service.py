"""The service: start order, run, drain. What goes wrong at the start has an exit code of its own."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import IntEnum
from importlib.metadata import version
from typing import Any, NoReturn, Protocol

from bridge.brokers.contract import Broker, Consumer
from bridge.brokers.opening import open_broker
from bridge.errors import BrokerRefused, BrokerUnavailable, SettingsError
from bridge.foreign_pool import ForeignPoolSettings
from bridge.outcome import Trust
from bridge.queues import Queue
from bridge.request import Site
from bridge.settings import Settings
from bridge.telemetry import log
from worker.agreement import agreed, told_to_children
from worker.consumer import EventConsumer
from worker.control_socket import ControlSocket
from worker.foreign_seating import ForeignSeating
from worker.policies import policies_of
from worker.pool.child import Child
from worker.pool.from_settings import child_said, control_path, plan_of
from worker.pool.process import BootFailed, Launch
from worker.pool.supervisor import Supervisor
from worker.replay import Replayer, Rules
from worker.seating import Seating
from worker.signals import Handlers, StopSignals, unless
from worker.slots import Slots
from worker.status import About, worker_status
from worker.tally import Tally
from worker.until import Until, reached

CHILD_MODULE = "app_adapter.app_server"


class Exit(IntEnum):
    """How the program ends."""

    DONE = 0
    SETTINGS = 2
    BROKER = 3
    APP = 4


@dataclass(frozen=True, slots=True)
class Order:
    """What one run of the worker is asked to do. `app` is what a pool of our own runs, None for a pool that others
    run."""

    app: str | None
    settings: Settings
    until: Until
    max_events: int | None


class Seats(Protocol):
    """The slots of a pool, whoever runs it: opened to the events once, and stopped before they drain."""

    async def open(self) -> None: ...
    def rooms(self) -> Mapping[str, int]: ...
    def signals(self) -> Handlers: ...
    def status(self) -> Mapping[str, Any]: ...
    async def broken(self) -> NoReturn: ...
    async def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool, as events are replayed into it: `slots` are its books, empty yet, and `size` how many there will be."""

    site: Site
    trust: Trust
    slots: Slots
    size: int
    seats: Callable[[EventConsumer, Sequence[Queue]], Seats]


async def serve(order: Order) -> Exit:
    """Run the worker until it is asked to stop, or has done what was ordered."""
    try:
        with StopSignals() as signals:
            rules = {queue.name: _rules(queue) for queue in order.settings.queues()}
            if order.app is not None:
                await _serve_app(order, order.app, rules, signals)
            elif order.settings.values.fastcgi is not None:
                await _serve_foreign_pool(order, order.settings.values.fastcgi, rules, signals)
    except SettingsError as error:
        log.error("%s", error)
        return Exit.SETTINGS
    except BootFailed as error:
        log.error("%s cannot boot: %s", order.app, error)
        return Exit.APP
    except (BrokerUnavailable, BrokerRefused) as error:
        log.error("%s", error)
        return Exit.BROKER
    return Exit.DONE


async def _serve_app(order: Order, app: str, rules: Mapping[str, Rules], signals: StopSignals) -> None:
    values = order.settings.values
    launch = Launch(CHILD_MODULE, app, values.boot_timeout.total_seconds(), told_to_children(order.settings))
    supervisor = Supervisor(launch, plan_of(values), child_said)
    try:
        children = await unless(signals.stop, supervisor.start())
        if children is None:
            return
        ready = children[0].ready
        order = replace(order, settings=agreed(order.settings, ready))
        _say_pool(order, children)
        site = Site(ready.host, order.settings.values.replay_path)

        def seats(events: EventConsumer, queues: Sequence[Queue]) -> Seats:
            return Seating(supervisor, events, queues, ready)

        await _serve_broker(order, Pool(site, Trust.RECEIVER, Slots(), values.children, seats), rules, signals)
    finally:
        await supervisor.stop()


async def _serve_foreign_pool(
    order: Order, fastcgi: ForeignPoolSettings, rules: Mapping[str, Rules], signals: StopSignals
) -> None:
    log.info("bridge-worker %s serves a pool that others run", version("deferred-event-bridge"))
    for address, connections in fastcgi.connections_by_address.items():
        log.info("pool: %s, at most %d connections", address, connections)
    site = fastcgi.site(order.settings.values.replay_path)

    def seats(events: EventConsumer, queues: Sequence[Queue]) -> Seats:
        return ForeignSeating(fastcgi, events, queues)

    await _serve_broker(order, Pool(site, fastcgi.trust, Slots(in_turn=True), fastcgi.size, seats), rules, signals)


async def _serve_broker(order: Order, pool: Pool, rules: Mapping[str, Rules], signals: StopSignals) -> None:
    values, queues = order.settings.values, order.settings.queues()
    broker = open_broker(values.broker_url, values.namespace, declare=values.declare)
    tally = Tally()
    try:
        if await unless(signals.stop, _declare(broker, queues)) is None:
            return
        consumer = broker.consumer()
        events = EventConsumer(consumer, pool.slots, Replayer(rules, pool.site, (tally,), pool.trust), order.max_events)
        seats = pool.seats(events, queues)
        await seats.open()
        await events.start(seats.rooms(), pool.size)
        _say_broker(order, broker, queues)
        await _say_unserved(order, consumer, queues)
        longest = max((rule.deadline for rule in rules.values()), default=0.0)
        about = About(order.app or "a pool that others run", broker.name, values.namespace, longest, datetime.now(UTC))
        control = ControlSocket(control_path(values), lambda: worker_status(about, events, tally, seats.status()))
        async with control:
            with seats.signals():
                log.info("ready for events, and for signals")
                await _work(order, events, consumer, seats, signals)
        log.info("ended: %s", tally)
    finally:
        await broker.close()


async def _work(order: Order, events: EventConsumer, consumer: Consumer, seats: Seats, signals: StopSignals) -> None:
    """Take events until there is a reason to stop, then drain."""
    try:
        ending = reached(order.until, events, consumer, [queue.name for queue in order.settings.queues()])
        why = await _run(signals.heard(), events.run(), ending, events.keep_pace(), seats.broken())
        log.info("stopping: %s", why, extra={"running": events.running})
    finally:
        await seats.stop()
        await _drain(events, consumer, order.settings.values.grace.total_seconds(), signals)


async def _declare(broker: Broker, queues: Sequence[Queue]) -> bool:
    await broker.declare(queues)
    return True


async def _run(*works: Coroutine[Any, Any, str]) -> str:
    """Run all of them until one has a reason to stop; return the reason."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return next(task.result() for task in tasks if task in done)


async def _drain(events: EventConsumer, consumer: Consumer, grace: float, signals: StopSignals) -> None:
    await consumer.stop()
    cut_off = await unless(signals.end, events.drain(grace))
    if cut_off is None:
        cut_off = await events.drain(0)
    if cut_off:
        log.warning("events were cut off and went back to their queue", extra={"events": cut_off})


def _rules(queue: Queue) -> Rules:
    return Rules(queue.deadline.total_seconds(), policies_of(queue))


def _say_pool(order: Order, children: Sequence[Child]) -> None:
    slowest = max(child.boot_seconds for child in children)
    release = children[0].ready.release
    log.info("bridge-worker %s serves %s", version("deferred-event-bridge"), order.app)
    log.info(
        "pool: %s, booted and warm after %.2f s%s",
        "1 child" if len(children) == 1 else f"{len(children)} children",
        slowest,
        f", release {release}" if release else "",
    )


async def _say_unserved(order: Order, consumer: Consumer, queues: Sequence[Queue]) -> None:
    """Warn of queues that hold events, were declared once, and are served by nobody with these settings. RabbitMQ
    tells of the declared ones only."""
    served = {queue.name for queue in queues}
    with contextlib.suppress(BrokerUnavailable):  # it is said by those who need it
        for name, backlog in (await consumer.backlog()).items():
            events = backlog.ready + backlog.waiting
            if name not in served and events:
                place = order.settings.file or "the settings"
                log.warning("queue %s holds %d events and is not in %s: nobody serves it here", name, events, place)


def _say_broker(order: Order, broker: Broker, queues: Sequence[Queue]) -> None:
    settings = order.settings
    log.info("settings: %s", settings.file or "no bridge.toml")
    log.info("broker: %s (from %s)", broker.name, settings.origin("broker_url"))
    for queue in queues:
        patterns = ", ".join(queue.patterns)
        takes = " and ".join(filter(None, (patterns, "what no other queue takes" if queue.catch_all else "")))
        log.info("queue %s: %s", queue.name, takes or "redriven events only, for it has no patterns")
