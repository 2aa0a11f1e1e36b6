"""The service of `bridge-worker`: start, run, drain. Each kind of failure at the start has its own exit code."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, Protocol

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.consuming import Consumer
from bridge.brokers.opening import check_policies, open_broker, site_on_broker
from bridge.config.foreign_pool import ForeignPoolSettings
from bridge.config.settings import Settings
from bridge.console.exit_codes import ExitCode
from bridge.console.service_manager import ServiceManager
from bridge.console.signals import Handlers, StopSignals, unless
from bridge.errors import BrokerRefused, BrokerUnavailable, SettingsError
from bridge.logger import log
from bridge.outcome import Trust
from bridge.public_url import NO_PUBLIC_URL
from bridge.queues import Queue
from bridge.request import ReplayTarget
from bridge.status import ChildrenStatus, WorkerStatus
from worker.control.apps import FOREIGN_POOL
from worker.control.controls_log import ControlsLog
from worker.control.missing_workers import looks_for_missing_workers
from worker.control.readiness import why_not
from worker.control.scheduler import schedulers
from worker.control.site_controls import SiteControls
from worker.control.status import About, worker_status
from worker.control.telling import recording, told
from worker.events.calls import CallRunner, CallService
from worker.events.consumer import EventConsumer
from worker.events.metering import Meter
from worker.events.replay import Replayer, Rules
from worker.events.retry_policies import policies_of
from worker.events.site_limits import rate_sharing, site_slots
from worker.events.until import Until, reached
from worker.pool.from_settings import log_printed, plan_of
from worker.pool.process import BootFailed, Launch
from worker.pool.supervisor import Supervisor
from worker.shared_settings import agreed, environment_of_children, files_of_children
from worker.slots.child_slots import OwnPool
from worker.slots.foreign_slots import ForeignPool
from worker.slots.slots import Slots
from worker.start_log import log_broker, log_foreign_pool, log_own_pool, warn_of_other_apps, warn_of_unserved_queues
from worker.watching import Watching

CHILD_MODULE = "app_adapter.app_server"


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """The options of one run of the worker. `app` is the app for the worker's own pool; None for a foreign pool, which
    others run."""

    app: str | None
    settings: Settings
    until: Until
    max_events: int | None
    directory: Path
    """The name of the app's directory, which leads to the app's new version after a deploy."""
    queues: tuple[Queue, ...]
    """The queues of the site from which this worker takes events. It declares all of the site's queues."""
    manager: ServiceManager = field(default_factory=ServiceManager)


class Pool(Protocol):
    """A pool, own or foreign. `open` opens its slots to requests, `broken` waits until it can never run a request again
    and raises, and `stop` is called before the events drain."""

    async def open(self) -> None: ...
    def signals(self) -> Handlers: ...
    def status(self) -> ChildrenStatus: ...
    async def broken(self) -> NoReturn: ...
    async def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Replays:
    """The way to replay events: the target of requests, whom to trust about the outcome, the slots, and their pool."""

    target: ReplayTarget
    trust: Trust
    slots: Slots
    pool: Pool


async def serve(options: WorkerOptions) -> ExitCode:
    """Run the worker until it is asked to stop, or a condition of `options` ends it. Return the exit code."""
    try:
        with StopSignals() as signals:
            watching = Watching.by_settings(options.settings)
            options.settings.schedules()  # raises before anything boots
            rules = {queue.name: _rules(queue) for queue in options.queues}
            if options.app is not None:
                await _serve_app(options, options.app, rules, signals, watching)
            elif options.settings.values.fastcgi is not None:
                await _serve_foreign_pool(options, options.settings.values.fastcgi, rules, signals, watching)
    except SettingsError as error:
        log.error("%s", error)
        return ExitCode.USAGE
    except BootFailed as error:
        log.error("%s cannot boot: %s", options.app, error)
        return ExitCode.APP
    except (BrokerUnavailable, BrokerRefused) as error:
        log.error("%s", error)
        return ExitCode.BROKER
    return ExitCode.DONE


async def _serve_app(
    options: WorkerOptions, app: str, rules: Mapping[str, Rules], signals: StopSignals, watching: Watching
) -> None:
    values = options.settings.values
    launch = Launch(
        CHILD_MODULE,
        app,
        values.boot_timeout.total_seconds(),
        environment_of_children(options.settings),
        options.directory,
        files_of_children(options.settings),
    )
    supervisor = Supervisor(launch, plan_of(values), log_printed)
    try:
        children = await unless(signals.stop, supervisor.start())
        if children is None:
            return
        ready = children[0].ready
        options = replace(options, settings=agreed(options.settings, ready))
        log_own_pool(app, children)
        values = options.settings.values
        target = ReplayTarget(values.replay_path, values.public_url or NO_PUBLIC_URL)
        slots = Slots(values.children, calls=values.calls)
        replays = Replays(
            target,
            Trust.RECEIVER,
            slots,
            OwnPool(supervisor, slots, ready, values.in_flight, watching.tell, options.manager),
        )
        await _serve_broker(options, replays, rules, signals, watching)
    finally:
        await supervisor.stop()


async def _serve_foreign_pool(
    options: WorkerOptions,
    fastcgi: ForeignPoolSettings,
    rules: Mapping[str, Rules],
    signals: StopSignals,
    watching: Watching,
) -> None:
    log_foreign_pool(fastcgi)
    slots = Slots(fastcgi.size, in_turn=True, calls=options.settings.values.calls)
    pool = ForeignPool(fastcgi.connections_by_address, slots, keep=fastcgi.keep_connection)
    values = options.settings.values
    target = fastcgi.target(values.replay_path, values.public_url or NO_PUBLIC_URL, values.replay_secret)
    replays = Replays(target, fastcgi.trust, slots, pool)
    await _serve_broker(options, replays, rules, signals, watching)


async def _serve_broker(
    options: WorkerOptions, replays: Replays, rules: Mapping[str, Rules], signals: StopSignals, watching: Watching
) -> None:
    values, pool = options.settings.values, replays.pool
    broker = open_broker(
        values.broker_url,
        values.namespace,
        declare=values.declare,
        file_group=values.file_group,
        tls=options.settings.tls(),
        keys=options.settings.ledger_keys(),
    )
    counters, tell = watching.counters, watching.tell
    async with AsyncExitStack() as ends:
        ends.push_async_callback(broker.close)
        ends.enter_context(recording(broker, values.history, watching.tell))
        if await unless(signals.stop, _declare(broker, options.settings)) is None:
            return
        consumer = broker.consumer()
        controls = SiteControls(ControlsLog(broker, values.namespace, options.settings.ledger_keys()), tell)
        meter, clock = Meter.of(options.queues), asyncio.get_running_loop().time
        replayer = Replayer(
            rules,
            replays.target,
            tell,
            replays.trust,
            max_body=values.max_body,
            halt=controls.halt,
            cancellation=controls.cancellation,
            begins=lambda queue, token: meter.begun(queue, token, clock()),
        )
        events = EventConsumer(
            consumer,
            replays.slots,
            replayer,
            options.max_events,
            tell,
            steering=controls,
            meter=meter,
            held_while_fast=values.in_flight,
        )
        calls = CallService(
            broker.call_server(), CallRunner(replays.slots, replays.target, replays.trust, values.max_body)
        )
        await ends.enter_async_context(controls.followed())
        await pool.open()
        await events.start()
        await calls.start(list(rules))
        log_broker(options.settings, broker.name, options.queues)
        await warn_of_unserved_queues(options.settings, consumer)
        longest = max((rule.deadline for rule in rules.values()), default=0.0)
        about = About(options.app or FOREIGN_POOL, broker.name, values.namespace, datetime.now(UTC))

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

        await warn_of_other_apps(options.settings, about.app, options.queues)
        await ends.enter_async_context(watching.internal.publishing(broker.publisher))
        async with told(broker, values, consumer, status, watching.metrics):
            with pool.signals():
                log.info("ready for events and signals")
                options.manager.ready()
                informing = options.manager.keep_informed(lambda: _in_words(status()))
                looking = looks_for_missing_workers(broker, options.settings, tell)
                planned = schedulers(broker, options.settings, tell)
                others = (informing, *planned, *rate_sharing(broker, meter), *looking)
                async with site_slots(broker, options.queues, replays.slots.size, meter):
                    await _work(options, events, calls, consumer, pool, signals, others)
        log.info("ended: %s", counters)


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


def _rules(queue: Queue) -> Rules:
    return Rules(
        deadline=queue.deadline.total_seconds(),
        policies=policies_of(queue),
        slots=queue.slots,
        weight=queue.weight,
        deadline_at_most=queue.longest.total_seconds(),
        ordered=queue.ordered,
        at_once=queue.rate is not None,
    )
