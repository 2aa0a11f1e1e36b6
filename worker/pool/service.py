"""`bridge-pool` as a service: the pool on its own, behind web servers. Start order, run, drain."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from importlib.metadata import version
from typing import Any

from bridge.errors import SettingsError
from bridge.foreign_pool import Address
from bridge.settings import CONFIG, Settings
from bridge.telemetry import log
from worker.control_socket import ControlSocket
from worker.pool.child import Child
from worker.pool.from_settings import child_said, control_path, plan_of
from worker.pool.front import Front
from worker.pool.listener import Access, Listener
from worker.pool.process import BootFailed, Launch
from worker.pool.supervisor import Supervisor
from worker.signals import StopSignals, unless

CHILD_MODULE = "app_adapter.listening"


class Exit(IntEnum):
    """How the program ends."""

    DONE = 0
    SETTINGS = 2
    APP = 4


@dataclass(frozen=True, slots=True)
class Order:
    """What one run of the pool is asked to do."""

    app: str
    address: Address
    access: Access
    settings: Settings


async def serve(order: Order) -> Exit:
    """Run the pool until it is asked to stop."""
    try:
        listener = Listener.bound(order.address, order.access)
    except SettingsError as error:
        log.error("%s", error)
        return Exit.SETTINGS
    values = order.settings.values
    pool = Supervisor(_launch(order), plan_of(values), child_said)
    try:
        with StopSignals() as signals:
            children = await unless(signals.stop, pool.start())
            if children is not None:
                listener.open()
                await _serve(order, pool, children, listener, signals)
    except SettingsError as error:
        log.error("%s", error)
        return Exit.SETTINGS
    except BootFailed as error:
        log.error("%s cannot boot: %s", order.app, error)
        return Exit.APP
    finally:
        listener.close()
        await pool.stop(0)
    return Exit.DONE


async def _serve(
    order: Order, pool: Supervisor, children: list[Child], listener: Listener, signals: StopSignals
) -> None:
    grace = order.settings.values.grace.total_seconds()
    front = Front(pool, listener.socket, grace)
    await pool.keep(front.watcher())
    _say(order, children)
    about = {"pid": os.getpid(), "app": order.app, "address": str(order.address), "version": _version()}
    started = asyncio.get_running_loop().time()

    def status() -> Mapping[str, Any]:
        return {**about, "age": round(asyncio.get_running_loop().time() - started, 1), **front.status()}

    async with ControlSocket(control_path(order.settings.values), status):
        with front.operator.signals():
            await signals.heard()
    log.info("stopping: asked to")
    listener.close()
    await front.operator.stop()
    await unless(signals.end, pool.stop(grace))
    log.info("ended: %d requests served", front.served)


def _version() -> str:
    return version("deferred-event-bridge")


def _launch(order: Order) -> Launch:
    settings = order.settings
    told = {CONFIG: str(settings.file)} if settings.file else {}
    return Launch(CHILD_MODULE, order.app, settings.values.boot_timeout.total_seconds(), told)


def _say(order: Order, children: list[Child]) -> None:
    slowest = max(child.boot_seconds for child in children)
    log.info("bridge-pool %s serves %s on %s", _version(), order.app, order.address)
    log.info("pool: %d children, booted and warm after %.2f s", len(children), slowest)
    log.info("settings: %s", order.settings.file or "no bridge.toml")
