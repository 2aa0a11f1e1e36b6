"""One publish of a relay as a future, without a task: a relay has hundreds in flight."""

import asyncio
from collections.abc import Callable

from bridge.errors import BridgeError
from bridge.publishing.lazy_publisher import Posted, Posting


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
