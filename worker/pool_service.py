"""The service of `bridge-pool`: start a pool behind web servers, serve, drain."""

import asyncio
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from bridge.child_protocol import Listen
from bridge.config.environment import CHECKED
from bridge.config.foreign_pool import Address
from bridge.config.settings import Settings
from bridge.console.exit_codes import ExitCode
from bridge.console.service_manager import ServiceManager
from bridge.console.signals import StopSignals, unless
from bridge.errors import SettingsError
from bridge.logger import log
from bridge.moments import Tell
from bridge.status import PoolStatus
from bridge.watchers.from_settings import named_watchers
from bridge.watchers.notify import Watchers
from worker.control.control_socket import ControlSocket, control_path
from worker.control.status import pool_status
from worker.pool.child import Child
from worker.pool.from_settings import log_printed, plan_of
from worker.pool.front.children import FrontChildren
from worker.pool.front.listening_socket import Access, ListeningSocket
from worker.pool.process import BootFailed, Launch
from worker.pool.supervisor import Supervisor
from worker.shared_settings import files_of_children

CHILD_MODULE = "app_adapter.front_child"


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """The options of one run of the pool."""

    app: str
    address: Address
    access: Access
    allow: tuple[str, ...]
    """The networks of the clients that may connect; without any, all may."""
    settings: Settings
    directory: Path
    """The name of the app's directory, which leads to the app's new version after a deploy."""
    manager: ServiceManager = field(default_factory=ServiceManager)


async def serve(options: PoolOptions) -> ExitCode:
    """Run the pool until it is asked to stop. Return the exit code."""
    try:
        tell = Watchers(named_watchers(options.settings))
        secret = options.settings.values.replay_secret is not None
        listener = ListeningSocket.bound(options.address, options.access, secret=secret)
    except SettingsError as error:
        log.error("%s", error)
        return ExitCode.USAGE
    values = options.settings.values
    pool = Supervisor(_launch(options), plan_of(values), log_printed)
    try:
        with StopSignals() as signals:
            children = await unless(signals.stop, pool.start())
            if children is not None:
                listener.open()
                await _serve(options, pool, children, listener, signals, tell)
    except SettingsError as error:
        log.error("%s", error)
        return ExitCode.USAGE
    except BootFailed as error:
        log.error("%s cannot boot: %s", options.app, error)
        return ExitCode.APP
    finally:
        listener.close()
        await pool.stop(0)
    return ExitCode.DONE


async def _serve(
    options: PoolOptions,
    pool: Supervisor,
    children: list[Child],
    listener: ListeningSocket,
    signals: StopSignals,
    tell: Tell,
) -> None:
    grace = options.settings.values.grace.total_seconds()
    front = FrontChildren(pool, listener.socket, Listen(options.allow), grace, tell, options.manager)
    await pool.keep(front.client())
    started = asyncio.get_running_loop().time()

    def status() -> PoolStatus:
        age = asyncio.get_running_loop().time() - started
        return pool_status(front.status(), options.app, str(options.address), age, front.served)

    async with ControlSocket(control_path(options.settings.values), status):
        with front.operator.signals():
            _log_start(options, children)
            options.manager.ready()
            informing = asyncio.create_task(options.manager.keep_informed(lambda: f"{front.served} requests served"))
            try:
                await unless(signals.stop, pool.start_failed())
            finally:
                informing.cancel()
    options.manager.stopping()
    log.info("stopping: asked to; running requests have up to %g s to finish", grace)
    listener.close()
    await front.operator.stop()
    await unless(signals.end, pool.stop(grace))
    log.info("ended: %d requests served", front.served)


def _version() -> str:
    return version("deferred-event-bridge")


def _launch(options: PoolOptions) -> Launch:
    timeout = options.settings.values.boot_timeout.total_seconds()
    files = files_of_children(options.settings)
    return Launch(CHILD_MODULE, options.app, timeout, {CHECKED: "1"}, options.directory, files)


def _log_start(options: PoolOptions, children: list[Child]) -> None:
    slowest = max(child.boot_seconds for child in children)
    log.info("bridge-pool %s serves %s on %s", _version(), options.app, options.address)
    log.info("pool: %d children, booted and warm after %.2f s", len(children), slowest)
    log.info("settings: %s", options.settings.file or "no bridge.toml")
