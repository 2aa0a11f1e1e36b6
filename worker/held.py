"""An event in our hands, from its delivery to its settlement, whatever the broker's connection does meanwhile.

A delivery whose connection broke comes again; where it comes to us, the run that is under way goes on with it, so that
nothing runs twice here.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from bridge.brokers.contract import Delivery
from bridge.errors import BrokerUnavailable, DeliveryLost
from worker.patience import back_off

FORGOTTEN_AFTER = 900.0
"""Seconds after which a delivery that was lost has surely been delivered to somebody else."""


class HeldEvent:
    """An event that we hold. `delivery` is the newest one that brought it, `lost` tells that its connection broke,
    `settled` that the broker has confirmed what became of it; `unconfirmed` hears each time that it could not confirm a
    settlement, and why, and `gone` that there is none to confirm until the message comes again."""

    def __init__(
        self,
        delivery: Delivery,
        unconfirmed: Callable[["HeldEvent", str], None],
        gone: Callable[["HeldEvent"], None],
    ) -> None:
        self.delivery = delivery
        self.lost = False
        self.settled = False
        self._unconfirmed = unconfirmed
        self._gone = gone
        self._renewed = asyncio.Event()
        self._last = False

    def renew(self, delivery: Delivery) -> None:
        """Go on with a redelivery of the same message."""
        self.delivery = delivery
        self.lost = False
        self._renewed.set()

    def expect_no_more(self) -> None:
        """Nothing is delivered to us any more: should this delivery be lost, the event is somebody else's."""
        self._last = True
        self._renewed.set()

    async def settle(self, verb: Callable[[Delivery], Awaitable[None]]) -> bool:
        """Settle it by a verb of `Delivery`, repeated until the broker has confirmed it. Return False where the event
        went elsewhere and is no longer ours to settle."""

        waits = back_off()
        while True:
            delivery = self.delivery
            try:
                await verb(delivery)
            except BrokerUnavailable as error:
                self._unconfirmed(self, str(error))
                await asyncio.sleep(next(waits))
            except DeliveryLost:
                self._gone(self)
                if not await self._comes_again(delivery):
                    return False
            else:
                self.settled = True
                await self._ack_what_came_again(delivery)
                return True

    async def _ack_what_came_again(self, settled: Delivery) -> None:
        """Settling the one may have outlasted its connection, and the next one has come by then."""
        if self.delivery is not settled:
            with contextlib.suppress(DeliveryLost):  # then it comes once more, and is known to be settled
                await self.delivery.ack()

    async def _comes_again(self, lost: Delivery) -> bool:
        if self.delivery is lost and not self._last:
            self.lost = True
            self._renewed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FORGOTTEN_AFTER):
                    await self._renewed.wait()
        return self.delivery is not lost
