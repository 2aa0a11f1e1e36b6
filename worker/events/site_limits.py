"""The limits of queues that hold for the whole site: rates, and slots of the whole site."""

from collections.abc import Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NoReturn

from bridge.brokers.contract.broker import Broker
from bridge.queues import Queue
from worker.events.metering import Meter
from worker.events.rate_shares import SUBJECT, RateShares
from worker.events.site_slots import SiteSlots


def rate_sharing(broker: Broker, meter: Meter) -> Sequence[Coroutine[Any, Any, NoReturn]]:
    """Return what keeps the shares of rates, if this worker has a queue with a rate."""
    if not meter.limits:
        return ()
    return (RateShares(broker.broadcast(SUBJECT), frozenset(meter.limits), meter.share).run(),)


def site_slots(broker: Broker, queues: Iterable[Queue], most: int, meter: Meter) -> AbstractAsyncContextManager[None]:
    """Return the context in which this worker gets and holds slots of the whole site, at most `most` of each queue."""
    wanted = {queue.name: queue.site_slots for queue in queues if queue.site_slots is not None}
    return SiteSlots(broker, wanted, most, meter.site_slots.__setitem__).held()
