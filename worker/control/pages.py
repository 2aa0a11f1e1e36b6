"""The pages of the worker's HTTP: metrics, whether it lives and is ready, and its status as JSON."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from importlib import import_module
from typing import TYPE_CHECKING

from bridge.brokers.contract.consuming import Backlog, Consumer
from bridge.errors import BridgeError
from bridge.status import WorkerStatus, to_json
from worker.control.http_server import MakePage, Page
from worker.control.readiness import why_not

if TYPE_CHECKING:
    from bridge.watchers.prometheus import Metrics

COUNTED_EVERY = 10.0
"""Seconds for which the counts of the queues are used again: several servers may ask for the metrics."""

COUNTED_WITHIN = 2.0

NO_METRICS = "The metrics need prometheus-client: install the extra `prometheus` of deferred-event-bridge.\n"


class Backlogs:
    """The counts of the queues on the broker, asked for seldom."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._asking = asyncio.Lock()
        self._asked = -COUNTED_EVERY
        self._last: Mapping[str, Backlog] = {}

    async def counts(self) -> Mapping[str, Backlog]:
        """Return the counts of each queue; none if the broker does not answer in time."""
        async with self._asking:
            if time.monotonic() - self._asked >= COUNTED_EVERY:
                try:
                    async with asyncio.timeout(COUNTED_WITHIN):
                        self._last = await self._consumer.backlog()
                except (BridgeError, TimeoutError):
                    self._last = {}
                self._asked = time.monotonic()
            return self._last


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
    counts: Callable[[], Awaitable[Mapping[str, Backlog]]],
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
        backlog, now = await counts(), status()
        text = metrics.text(now, backlog, ready=why_not(now) is None)
        return Page(HTTPStatus.OK, text, metrics.content_type)

    return {"/metrics": exposition, "/livez": alive, "/readyz": ready, "/status.json": as_json}
