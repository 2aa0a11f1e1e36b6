"""The service of `bridge-worker`: start, run, drain. Each kind of failure at the start has its own exit code."""

from collections.abc import Mapping
from dataclasses import replace

from bridge.config.foreign_pool import ForeignPoolSettings
from bridge.console.exit_codes import ExitCode
from bridge.console.signals import StopSignals, unless
from bridge.errors import BrokerRefused, BrokerUnavailable, SettingsError
from bridge.logger import log
from bridge.public_url import NO_PUBLIC_URL
from bridge.queues import Queue
from bridge.request import ReplayTarget
from bridge.trust import Trust
from worker.events.replay import Rules
from worker.events.retry_policies import policies_of
from worker.pool.from_settings import log_printed, plan_of
from worker.pool.process import BootFailed, Launch
from worker.pool.supervisor import Supervisor
from worker.run import Replays, WorkerOptions
from worker.shared_settings import agreed, environment_of_children, files_of_children
from worker.slots.child_slots import OwnPool
from worker.slots.foreign_slots import ForeignPool
from worker.slots.slots import Slots
from worker.start_log import log_foreign_pool, log_own_pool
from worker.watching import Watching
from worker.work import take_from_broker

CHILD_MODULE = "app_adapter.app_server"


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
        await take_from_broker(options, replays, rules, signals, watching)
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
    asked = {queue.name: queue.foreign for queue in options.queues if queue.foreign and queue.foreign.asks}
    rules = {name: replace(rule, foreign=asked.get(name)) for name, rule in rules.items()}
    slots = Slots(fastcgi.size, in_turn=True, calls=options.settings.values.calls)
    pool = ForeignPool(fastcgi.connections_by_address, slots, keep=fastcgi.keep_connection)
    values = options.settings.values
    target = fastcgi.target(values.replay_path, values.public_url or NO_PUBLIC_URL, values.replay_secret)
    replays = Replays(target, fastcgi.trust, slots, pool)
    await take_from_broker(options, replays, rules, signals, watching)


def _rules(queue: Queue) -> Rules:
    return Rules(
        deadline=queue.deadline.total_seconds(),
        policies=policies_of(queue),
        slots=queue.slots,
        weight=queue.weight,
        deadline_at_most=queue.longest.total_seconds(),
        ordered=queue.ordered,
        at_once=queue.rate is not None,
        breaker=queue.breaker,
        held_as_a_whole=queue.ordered or queue.one_name,
    )
