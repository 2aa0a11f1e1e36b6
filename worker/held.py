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

UNCONFIRMED_AFTER = 10.0
"""Seconds after which a broker that does not confirm a settlement is said to do so."""

FORGOTTEN_AFTER = 900.0
"""Seconds after which a delivery that was lost has surely been delivered to somebody else."""


class HeldEvent:
    """An event that we hold. `lost` tells that the connection of its newest delivery broke, `settled` that the broker
    has confirmed what became of it; `unconfirmed` hears each time that it could not confirm a settlement, and why, and
    `gone` that there is none to confirm until the message comes again."""

    def __init__(
        self,
        delivery: Delivery,
        unconfirmed: Callable[["HeldEvent", str], None],
        gone: Callable[["HeldEvent"], None],
    ) -> None:
        self.lost = False
        self.settled = False
        self._deliveries = [delivery]
        self._unconfirmed = unconfirmed
        self._gone = gone
        self._renewed = asyncio.Event()
        self._last = False

    @property
    def delivery(self) -> Delivery:
        """The newest delivery that brought it."""
        return self._deliveries[-1]

    def renew(self, delivery: Delivery) -> None:
        """Go on with a redelivery of the same message."""
        self._deliveries.append(delivery)
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
                await self._carry_out(verb, delivery)
            except BrokerUnavailable as error:
                self._unconfirmed(self, str(error))
                await asyncio.sleep(next(waits))
            except DeliveryLost:
                self._gone(self)
                if not await self._comes_again(delivery):
                    return False
                self._deliveries = [each for each in self._deliveries if each is not delivery]
            else:
                self.settled = True
                await self._ack_all_but(delivery)
                return True

    async def _carry_out(self, verb: Callable[[Delivery], Awaitable[None]], delivery: Delivery) -> None:
        late = asyncio.get_running_loop().call_later(
            UNCONFIRMED_AFTER, self._unconfirmed, self, f"not in {UNCONFIRMED_AFTER:g} s"
        )
        try:
            await verb(delivery)
        finally:
            late.cancel()

    async def _ack_all_but(self, settled: Delivery) -> None:
        """Settling the one may have outlasted its connection, and the next one has come by then. Or a broker that lost
        sight of us for a moment has delivered it again beside the first, on the same connection."""
        for delivery in self._deliveries:
            if delivery is not settled:
                # Then it comes once more, and is known to be settled.
                with contextlib.suppress(DeliveryLost, BrokerUnavailable):
                    await delivery.ack()

    async def _comes_again(self, lost: Delivery) -> bool:
        if self.delivery is lost and not self._last:
            self.lost = True
            self._renewed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FORGOTTEN_AFTER):
                    await self._renewed.wait()
        return self.delivery is not lost
