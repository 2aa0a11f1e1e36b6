"""What a run of the worker is given: its options, its pool, and the way to replay events."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, Protocol

from bridge.config.settings import Settings
from bridge.console.service_manager import ServiceManager
from bridge.console.signals import Handlers
from bridge.queues import Queue
from bridge.request import ReplayTarget
from bridge.status import ChildrenStatus
from bridge.trust import Trust
from worker.events.until import Until
from worker.slots.slots import Slots


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
    and raises, and `stop` is called before the events drain. `stacks` returns the Python stacks of the child with this
    process id, empty if it does not write them in time; None if the pool has no such child."""

    async def open(self) -> None: ...
    def signals(self) -> Handlers: ...
    def status(self) -> ChildrenStatus: ...
    async def stacks(self, pid: int) -> bytes | None: ...
    async def broken(self) -> NoReturn: ...
    async def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Replays:
    """The way to replay events: the target of requests, whom to trust about the outcome, the slots, and their pool."""

    target: ReplayTarget
    trust: Trust
    slots: Slots
    pool: Pool
