"""The work of `bridge-worker` once its pool has booted: open the broker, take events and calls, drain."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any, NoReturn

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.consuming import Consumer
from bridge.brokers.opening import check_policies, open_broker_of, site_on_broker
from bridge.config.settings import Settings
from bridge.config.sqlite_url import is_sqlite
from bridge.console.signals import StopSignals, unless
from bridge.errors import SettingsError
from bridge.logger import log
from bridge.status import WorkerStatus
from bridge.watchers.counters import Counters
from worker.control.apps import FOREIGN_POOL
from worker.control.controls_log import ControlsLog
from worker.control.missing_workers import looks_for_missing_workers
from worker.control.readiness import why_not
from worker.control.scheduler import schedulers
from worker.control.site_controls import SiteControls
from worker.control.status import About, worker_status
from worker.control.telling import recording, told
from worker.events.breakers import Breakers
from worker.events.calls import CallRunner, CallService
from worker.events.consumer import EventConsumer
from worker.events.metering import Meter
from worker.events.probing import probing
from worker.events.queue_breaker import QueueBreaker
from worker.events.replay import Replayer, Rules
from worker.events.site_limits import rate_sharing, site_slots
from worker.events.until import reached
from worker.run import Pool, Replays, WorkerOptions
from worker.start_log import log_broker, warn_of_other_apps, warn_of_unserved_queues
from worker.watching import Watching


async def take_from_broker(
    options: WorkerOptions, replays: Replays, rules: Mapping[str, Rules], signals: StopSignals, watching: Watching
) -> None:
    """Open the broker, open the slots of the pool, and take events and calls until there is a reason to stop; then
    drain. Raise `BrokerUnavailable`, `BrokerRefused` or `SettingsError` if it cannot begin."""
    values, pool = options.settings.values, replays.pool
    _check_foreign_queues(options)
    broker = open_broker_of(options.settings)
    async with AsyncExitStack() as ends:
        ends.push_async_callback(broker.close)
        ends.enter_context(recording(broker, values.history, watching.tell))
        if await unless(signals.stop, _declare(broker, options.settings)) is None:
            return
        consumer = broker.consumer()
        controls = SiteControls(ControlsLog(broker, values.namespace, options.settings.ledger_keys()), watching.tell)
        meter = Meter.of(options.queues)
        breakers = _breakers(rules, watching)
        events = _event_consumer(options, replays, rules, watching, consumer, controls, meter, breakers)
        calls = CallService(
            broker.call_server(), CallRunner(replays.slots, replays.target, replays.trust, values.max_body)
        )
        about = About(options.app or FOREIGN_POOL, broker.name, values.namespace, datetime.now(UTC))
        await ends.enter_async_context(controls.followed())
        await pool.open()
        probes = await probing(broker, breakers, about.instance, f"{about.host}:{os.getpid()}")
        await events.start()
        await calls.start(list(rules))
        log_broker(options.settings, broker.name, options.queues)
        await warn_of_unserved_queues(options.settings, consumer)
        status = _status_of(about, pool, events, rules, watching.counters)
        await warn_of_other_apps(options.settings, about.app, options.queues)
        await ends.enter_async_context(watching.internal.publishing(broker.publisher, broker.ledger))
        async with told(broker, values, consumer, status, pool.stacks, watching.metrics):
            with pool.signals():
                log.info("ready for events and signals")
                options.manager.ready()
                informing = options.manager.keep_informed(lambda: _in_words(status()))
                looking = looks_for_missing_workers(broker, options.settings, watching.tell)
                planned = schedulers(broker, options.settings, watching.tell)
                listening = [each.run() for each in probes]
                others = (informing, *planned, *rate_sharing(broker, meter), *looking, *listening)
                async with site_slots(broker, options.queues, replays.slots.size, meter):
                    await _work(options, events, calls, consumer, pool, signals, others)
        log.info("ended: %s", watching.counters)


def _check_foreign_queues(options: WorkerOptions) -> None:
    """Raise `SettingsError` if a queue of an older bridge is named, and the broker is not RabbitMQ."""
    url, origin = options.settings.values.broker_url, options.settings.origin("broker_url")
    for queue in options.queues:
        if queue.foreign is not None and is_sqlite(url):
            raise SettingsError(
                f"queues.{queue.name}.foreign.queue = {queue.foreign.queue!r}: expected a broker_url amqp://host/, "
                f"got {url!r} (from {origin})"
            )


def _breakers(rules: Mapping[str, Rules], watching: Watching) -> Breakers:
    by_queue = {
        queue: QueueBreaker(rule.breaker, as_a_whole=rule.held_as_a_whole)
        for queue, rule in rules.items()
        if rule.breaker is not None
    }
    return Breakers(by_queue, watching.tell, asyncio.get_running_loop().time)


def _event_consumer(
    options: WorkerOptions,
    replays: Replays,
    rules: Mapping[str, Rules],
    watching: Watching,
    consumer: Consumer,
    controls: SiteControls,
    meter: Meter,
    breakers: Breakers,
) -> EventConsumer:
    values, clock = options.settings.values, asyncio.get_running_loop().time
    replayer = Replayer(
        rules,
        replays.target,
        watching.tell,
        replays.trust,
        max_body=values.max_body,
        halt=controls.halt,
        cancellation=controls.cancellation,
        begins=lambda queue, token: meter.begun(queue, token, clock()),
        has_outcome=breakers.note,
    )
    return EventConsumer(
        consumer,
        replays.slots,
        replayer,
        options.max_events,
        watching.tell,
        steering=controls,
        meter=meter,
        breakers=breakers,
        held_while_fast=values.in_flight,
    )


def _status_of(
    about: About, pool: Pool, events: EventConsumer, rules: Mapping[str, Rules], counters: Counters
) -> Callable[[], WorkerStatus]:
    """Return a function that returns the worker's status now."""
    longest = max((rule.deadline for rule in rules.values()), default=0.0)

    def status() -> WorkerStatus:
        children = pool.status()
        extended = [slot.deadline for slot in children.slots if slot.deadline is not None]
        return worker_status(
            about,
            children,
            events.serving(max(longest, *extended) if extended else longest),
            running=events.running,
            delivered=counters.delivered,
            retried=counters.retried,
            dead_lettered=counters.dead,
        )

    return status


async def _work(
    options: WorkerOptions,
    events: EventConsumer,
    calls: CallService,
    consumer: Consumer,
    pool: Pool,
    signals: StopSignals,
    others: Sequence[Coroutine[Any, Any, NoReturn]],
) -> None:
    """Take events and calls, and do the `others` meanwhile, until there is a reason to stop, and then drain."""
    try:
        ending = reached(options.until, events, consumer, [queue.name for queue in options.queues])
        works = (events.run(), ending, events.keep_pace(), events.obey(), pool.broken(), calls.run(), calls.keep_size())
        why = await _run(signals.heard(), *works, *others)
        log.info("stopping: %s", why, extra={"running": events.running})
        options.manager.stopping(f"stopping: {why}; {events.running} events are running")
    finally:
        await pool.stop()
        await _drain(events, calls, consumer, options.settings.values.grace.total_seconds(), signals)


async def _declare(broker: Broker, settings: Settings) -> bool:
    await broker.declare(settings.queues())
    for finding in await check_policies(site_on_broker(settings)):
        log.error("%s; next step: %s", finding.sentence, finding.next_step)
    return True


async def _run(*works: Coroutine[Any, Any, str]) -> str:
    """Run all of `works` until one returns a reason to stop; return that reason."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return next(task.result() for task in tasks if task in done)


async def _drain(
    events: EventConsumer, calls: CallService, consumer: Consumer, grace: float, signals: StopSignals
) -> None:
    await consumer.stop()
    await calls.stop()
    drained = await unless(signals.end, _drain_both(events, calls, grace))
    cancelled = await _drain_both(events, calls, 0) if drained is None else drained
    if cancelled:
        log.warning("running events were cancelled and return to their queue", extra={"events": cancelled})


async def _drain_both(events: EventConsumer, calls: CallService, grace: float) -> int:
    """Let events and calls end within `grace` seconds. Return how many events were cancelled."""
    cancelled, _ = await asyncio.gather(events.drain(grace), calls.drain(grace))
    return cancelled


def _in_words(status: WorkerStatus) -> str:
    """Return the status as one line for the service manager."""
    why = why_not(status)
    done = f"{status.delivered} delivered, {status.retried} retries, {status.dead_lettered} dead-lettered"
    return f"{status.running} running; {done}" if why is None else f"not ready: {why}; {done}"
