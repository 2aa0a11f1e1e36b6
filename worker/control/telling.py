"""All ways in which a running worker tells others of itself: control socket, registry, HTTP and history."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from bridge.brokers.contract.broker import Broker
from bridge.brokers.contract.consuming import Consumer
from bridge.config.store_settings import outboxes
from bridge.config.values import HistorySettings, Values
from bridge.site_logs import HISTORY
from bridge.status import WorkerStatus
from bridge.watchers.history import HistoryWatcher
from bridge.watchers.notify import Watchers
from worker.control.control_socket import ControlSocket, control_path
from worker.control.http_server import HttpServer
from worker.control.membership import Membership, StacksOf
from worker.control.pages import Counts, Seldom, pages_of
from worker.control.status import outbox_statuses

if TYPE_CHECKING:
    from bridge.watchers.prometheus import Metrics


LOOKED_WITHIN = 8.0
"""Seconds for the look at all outboxes, which takes at most 7 s of each (`bridge.publishing.outboxes`)."""


@contextmanager
def recording(broker: Broker, history: HistorySettings, watchers: Watchers) -> Iterator[None]:
    """Write the history of what the watchers are told during the block, if the settings keep one. The block must end
    before the broker is closed."""
    retention = history.retention()
    if retention is None:
        yield
        return
    watcher = HistoryWatcher(broker.log(HISTORY, retention).append_soon)
    watchers.add(watcher)
    try:
        yield
    finally:
        watchers.remove(watcher)
        watcher.flush()


@asynccontextmanager
async def told(
    broker: Broker,
    values: Values,
    consumer: Consumer,
    status: Callable[[], WorkerStatus],
    stacks: StacksOf,
    metrics: "Metrics | None",
) -> AsyncIterator[None]:
    """Answer questions about this worker's status and the stacks of its children during the block: of `bridge-status`
    on this machine and on others, and of monitoring over HTTP. Raise `SettingsError` if `http` is no address
    to listen at."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(ControlSocket(control_path(values), status))
        await stack.enter_async_context(Membership(broker, status, stacks))
        if values.http is not None:
            waiting = partial(outbox_statuses, outboxes(values.stores), values.namespace)
            counts = Counts(Seldom(consumer.backlog, {}), Seldom(waiting, [], LOOKED_WITHIN))
            pages = pages_of(status, counts, metrics)
            await stack.enter_async_context(HttpServer(values.http, pages))
        yield
