"""The pages of the worker's HTTP: metrics, whether it lives and is ready, and its status as JSON."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from importlib import import_module
from typing import TYPE_CHECKING, Generic, TypeVar

from bridge.brokers.contract.consuming import Backlog
from bridge.errors import BridgeError
from bridge.status import OutboxStatus, WorkerStatus, to_json
from worker.control.http_server import MakePage, Page
from worker.control.readiness import why_not

if TYPE_CHECKING:
    from bridge.watchers.prometheus import Metrics

T = TypeVar("T")

COUNTED_EVERY = 10.0
"""Seconds for which the counts of queues and outboxes are used again: several servers may ask for the metrics."""

COUNTED_WITHIN = 2.0

NO_METRICS = "The metrics need prometheus-client: install the extra `prometheus` of deferred-event-bridge.\n"


class Seldom(Generic[T]):
    """An answer that is asked for at most every `COUNTED_EVERY` seconds, and used again meanwhile. `none` is the answer
    if there is none in time."""

    def __init__(self, ask: Callable[[], Awaitable[T]], none: T, within: float = COUNTED_WITHIN) -> None:
        self._ask = ask
        self._none = none
        self._within = within
        self._asking = asyncio.Lock()
        self._asked = -COUNTED_EVERY
        self._last = none

    async def answer(self) -> T:
        """Return the last answer, or a new one."""
        async with self._asking:
            if time.monotonic() - self._asked >= COUNTED_EVERY:
                try:
                    async with asyncio.timeout(self._within):
                        self._last = await self._ask()
                except (BridgeError, TimeoutError):
                    self._last = self._none
                self._asked = time.monotonic()
            return self._last


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts outside of the worker: the events of each queue on the broker, and what waits in each outbox."""

    backlog: Seldom[Mapping[str, Backlog]]
    outboxes: Seldom[Sequence[OutboxStatus]]


def metrics_if_installed() -> "Metrics | None":
    """Return the metrics of this process; None without prometheus-client."""
    try:
        metrics: Metrics = import_module("bridge.watchers.prometheus").Metrics()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "prometheus_client":
            raise
        return None
    return metrics


def pages_of(
    status: Callable[[], WorkerStatus],
    counts: Counts,
    metrics: "Metrics | None",
) -> Mapping[str, MakePage]:
    """Return the pages, by path."""

    async def alive() -> Page:
        return Page(HTTPStatus.OK, "alive\n")

    async def ready() -> Page:
        why = why_not(status())
        return Page(HTTPStatus.OK, "ready\n") if why is None else Page(HTTPStatus.SERVICE_UNAVAILABLE, f"{why}\n")

    async def as_json() -> Page:
        return Page(HTTPStatus.OK, json.dumps(to_json(status())), "application/json")

    async def exposition() -> Page:
        if metrics is None:
            return Page(HTTPStatus.NOT_IMPLEMENTED, NO_METRICS)
        backlog, outboxes = await asyncio.gather(counts.backlog.answer(), counts.outboxes.answer())
        now = status()
        text = metrics.text(now, backlog, outboxes, ready=why_not(now) is None)
        return Page(HTTPStatus.OK, text, metrics.content_type)

    return {"/metrics": exposition, "/livez": alive, "/readyz": ready, "/status.json": as_json}
