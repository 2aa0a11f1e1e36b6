"""One publish of a relay: as a future without a task, because a relay has hundreds in flight, or in a task."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from bridge.deadline import Deadline
from bridge.errors import BridgeError, Unroutable
from bridge.event import Event
from bridge.publishing.lazy_publisher import LazyPublisher, Posted, Posting

A_MOMENT = timedelta(seconds=1)


def posted(posting: Posting, confirm: Callable[[], object]) -> "asyncio.Future[bool]":
    """Publish, and return a future. When the broker confirms, `confirm` is called and the result is True; else the
    publisher's error is raised. If the future is cancelled, the publish is withdrawn."""
    answered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def told(answer: Posted) -> None:
        if answered.done():
            return
        if isinstance(answer, BridgeError):
            answered.set_exception(answer)
        else:
            confirm()
            answered.set_result(True)

    withdraw = posting(told)
    answered.add_done_callback(lambda future: withdraw() if future.cancelled() else None)
    return answered


async def publish_or_dead_letter(
    publisher: LazyPublisher, event: Event, due: datetime | None, refusal: BridgeError | None, seconds: float
) -> None:
    """Publish an event; one that is not routable, as a dead letter. `refusal` is the broker's answer if it was
    published already. The broker has `seconds` for each answer. Raise what `LazyPublisher.publish` raises."""
    try:
        if refusal is not None:
            raise refusal
        await publisher.publish(event, due, deadline=Deadline.after(seconds, time.monotonic()))
    except Unroutable:
        # A short delay makes the event a dead letter with the reason "unroutable" when it is due without a queue.
        later = datetime.now(UTC) + A_MOMENT
        await publisher.publish(event, later, deadline=Deadline.after(seconds, time.monotonic()))
