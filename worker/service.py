"""The service: start order, run, drain. What goes wrong at the start has an exit code of its own."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from importlib.metadata import version
from typing import Any

from bridge.brokers.contract import Broker, Consumer
from bridge.brokers.opening import open_broker
from bridge.errors import BrokerRefused, BrokerUnavailable, SettingsError
from bridge.queues import Queue
from bridge.request import Site
from bridge.settings import COMMAND_LINE, CONFIG, PREFIX, Settings
from bridge.telemetry import log
from worker.child_slot import ChildSlot, open_slot
from worker.consumer import EventConsumer
from worker.policies import policies_of
from worker.pool.child import BootFailed, Child, Launch
from worker.pool.control import Ready
from worker.pool.supervisor import Supervisor, Watcher
from worker.replay import Replayer, Rules
from worker.signals import StopSignals, unless
from worker.slots import Slots
from worker.tally import Tally
from worker.until import Until, reached

CHILD_MODULE = "app_adapter.app_server"
SHARED_SETTINGS = ("broker_url", "namespace", "replay_path")


class Exit(IntEnum):
    """How the program ends."""

    DONE = 0
    SETTINGS = 2
    BROKER = 3
    APP = 4


@dataclass(frozen=True, slots=True)
class Order:
    """What one run of the worker is asked to do."""

    app: str
    settings: Settings
    until: Until
    max_events: int | None


async def serve(order: Order) -> Exit:
    """Run the worker until it is asked to stop, or has done what was ordered."""
    values = order.settings.values
    launch = Launch(CHILD_MODULE, order.app, values.boot_timeout.total_seconds(), _told_to_children(order.settings))
    pool = Supervisor(launch, values.children, _child_said)
    try:
        with StopSignals() as signals:
            rules = {queue.name: _rules(queue) for queue in order.settings.queues()}
            children = await unless(signals.stop, pool.start())
            if children is None:
                return Exit.DONE
            order = replace(order, settings=_agreed(order.settings, children[0].ready))
            _say_pool(order, children)
            return await _serve_broker(order, pool, children[0].ready, rules, signals)
    except SettingsError as error:
        log.error("%s", error)
        return Exit.SETTINGS
    except BootFailed as error:
        log.error("%s cannot boot: %s", order.app, error)
        return Exit.APP
    except (BrokerUnavailable, BrokerRefused) as error:
        log.error("%s", error)
        return Exit.BROKER
    finally:
        await pool.stop()


async def _serve_broker(
    order: Order, pool: Supervisor, ready: Ready, rules: dict[str, Rules], signals: StopSignals
) -> Exit:
    values, queues = order.settings.values, order.settings.queues()
    broker = open_broker(values.broker_url, values.namespace)
    tally = Tally()
    try:
        if await unless(signals.stop, _declare(broker, queues)) is None:
            return Exit.DONE
        consumer = broker.consumer()
        replayer = Replayer(rules, Site(ready.host, values.replay_path), hooks=(tally,))
        events = EventConsumer(consumer, Slots(), replayer, order.max_events)
        pool.keep(_watcher(events))
        rooms = {queue.name: min(queue.slots or values.children, values.children) for queue in queues}
        await consumer.start(rooms)
        _say_broker(order, broker, queues)
        try:
            pacing = events.keep_pace(rooms, values.children)
            why = await _run(events.run(), reached(order.until, events, consumer), pacing, signals)
            log.info("stopping: %s", why, extra={"running": events.running})
        finally:
            await _drain(events, consumer, values.grace.total_seconds(), signals)
            log.info("ended: %s", tally)
    finally:
        await broker.close()
    return Exit.DONE


async def _declare(broker: Broker, queues: Sequence[Queue]) -> bool:
    await broker.declare(queues)
    return True


async def _run(
    taking: Coroutine[Any, Any, str],
    ending: Coroutine[Any, Any, str],
    pacing: Coroutine[Any, Any, str],
    signals: StopSignals,
) -> str:
    """Run all of them until one has a reason to stop, or a signal comes; return the reason."""
    tasks = [asyncio.create_task(work) for work in (signals.heard(), taking, ending, pacing)]
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


def _told_to_children(settings: Settings) -> dict[str, str]:
    """Return what the worker's command line said, as the environment says it: the app shares it, unless its own Flask
    config says otherwise."""
    told = {
        key: str(getattr(settings.values, key)) for key in SHARED_SETTINGS if settings.origins.get(key) == COMMAND_LINE
    }
    return {PREFIX + key.upper(): value for key, value in told.items()} | (
        {CONFIG: str(settings.file)} if settings.file else {}
    )


def _agreed(settings: Settings, ready: Ready) -> Settings:
    """Return the settings with what the app alone knows (its Flask config). Raise `SettingsError` where the worker was
    told otherwise: it would wait at one broker while the app defers to another."""
    adopted = {}
    for key in SHARED_SETTINGS:
        ours, theirs = getattr(settings.values, key), ready.settings.get(key)
        if theirs is None or theirs == ours:
            continue
        if key in settings.origins:
            raise SettingsError(
                f"{key} = {ours!r} (from {settings.origin(key)}): expected {theirs!r}, which is what the app uses"
            )
        adopted[key] = theirs
    return replace(settings, values=settings.values.model_copy(update=adopted))


def _watcher(events: EventConsumer) -> Watcher:
    slots: dict[Child, ChildSlot] = {}

    async def ready(child: Child) -> None:
        slots[child] = await open_slot(child)
        events.open_slot(slots[child])

    def lost(child: Child, how: str) -> None:
        events.close_slot(slots.pop(child))
        log.warning("a child %s; another takes its place", how, extra={"pid": child.pid})

    def trouble(why: str) -> None:
        log.error("a child cannot boot: %s", why)

    return Watcher(ready, lost, trouble)


def _child_said(pid: int, line: str) -> None:
    log.info("%s", line, extra={"child": pid})


def _say_pool(order: Order, children: Sequence[Child]) -> None:
    slowest = max(child.boot_seconds for child in children)
    release = children[0].ready.release
    log.info("bridge-worker %s serves %s", version("deferred-event-bridge"), order.app)
    log.info(
        "pool: %d children, booted and warm after %.2f s%s",
        len(children),
        slowest,
        f", release {release}" if release else "",
    )


def _say_broker(order: Order, broker: Broker, queues: Sequence[Queue]) -> None:
    settings = order.settings
    log.info("settings: %s", settings.file or "no bridge.toml")
    log.info("broker: %s (from %s)", broker.name, settings.origin("broker_url"))
    for queue in queues:
        patterns = ", ".join(queue.patterns)
        takes = " and ".join(filter(None, (patterns, "what no other queue takes" if queue.catch_all else "")))
        log.info("queue %s: %s", queue.name, takes or "redriven events only, for it has no patterns")
