"""Sends the cancellation of an event to the broker, on a thread and a connection of its own, because cancellations are
rare. Unlike events they are not spooled. Knows no app.
"""

import time
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING

from app_adapter.daemon_threads import DaemonThreads
from app_adapter.fork_safe_publishing import require_threads
from bridge.brokers.opening import open_broker
from bridge.deadline import Deadline
from bridge.errors import (
    BrokerRefused,
    BrokerUnavailable,
    DeferError,
    DeferForbidden,
    DeferUnavailable,
    DeferUnconfirmed,
)
from bridge.local_database.own_threads import is_own_thread, mark_this_thread

if TYPE_CHECKING:
    from bridge.cancellations import Cancellation
    from bridge.config.settings import Settings

SLACK = 0.05
"""Seconds after the deadline that a caller waits for the thread's own error, which is more precise."""


def send(settings: "Settings", cancellation: "Cancellation") -> None:
    """Append the cancellation to its log, within `publish_timeout`. Raise `DeferUnavailable` or `DeferForbidden` (the
    event is not cancelled), or `DeferUnconfirmed` (it may be); `DeferError` if this process cannot run threads."""
    if is_own_thread():
        raise DeferError(f"event {cancellation.event} was cancelled on a thread that publishes events")
    require_threads()
    deadline = Deadline.after(settings.values.publish_timeout.total_seconds(), time.monotonic())
    answer: Future[None] = Future()
    DaemonThreads(mark_this_thread).submit(_run, settings, cancellation, deadline, answer)
    not_cancelled = f"event {cancellation.event} is not cancelled"
    try:
        answer.result(deadline.remaining(time.monotonic()) + SLACK)
    except TimeoutError:
        why = f"the cancellation of event {cancellation.event} is not confirmed; the event may be cancelled"
        raise DeferUnconfirmed(cancellation.event, why) from None
    except BrokerRefused as error:
        raise DeferForbidden(f"{not_cancelled}: {error}") from error
    except BrokerUnavailable as error:
        raise DeferUnavailable(f"{not_cancelled}: {error}") from error


def _run(settings: "Settings", cancellation: "Cancellation", deadline: Deadline, answer: "Future[None]") -> None:
    # Imported on this thread, because a process that cancels no event needs no asyncio.
    import asyncio

    try:
        asyncio.run(_append(settings, cancellation, deadline, answer))
    except BaseException as error:  # the caller gets it, whatever it is
        if not answer.done():
            answer.set_exception(error)


async def _append(
    settings: "Settings", cancellation: "Cancellation", deadline: Deadline, answer: "Future[None]"
) -> None:
    from bridge.cancellations import record_of
    from bridge.logs import AppendUnconfirmed
    from bridge.site_logs import CANCELLATIONS

    values = settings.values
    opening = partial(open_broker, declare=values.declare, file_group=values.file_group, tls=settings.tls())
    broker = opening(values.broker_url, values.namespace)
    try:
        log = broker.log(CANCELLATIONS.name, CANCELLATIONS.retention)
        await log.append(record_of(cancellation), deadline=deadline)
    except AppendUnconfirmed as error:
        why = f"the cancellation of event {cancellation.event} is not confirmed; the event may be cancelled: {error}"
        answer.set_exception(DeferUnconfirmed(cancellation.event, why))
    else:
        answer.set_result(None)
    finally:
        await broker.close()
