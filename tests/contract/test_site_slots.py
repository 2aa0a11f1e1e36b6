"""The slots of a queue for the whole site, as two workers get them."""

import time

from tests.contract.acts import eventually
from tests.contract.conftest import OpenBroker
from worker.events.site_slots import SETTLE_SECONDS, SiteSlots


async def test_two_workers_share_the_slots(another_broker: OpenBroker) -> None:
    """Together they never have more than there are, and one that stays gets those of one that goes. A slot is not used
    at once: what a killed holder of it runs may go on for a moment."""
    has = {"first": 0, "second": 0}
    most = 0

    def slots_of(worker: str, at_most: int) -> SiteSlots:
        def changed(queue: str, number: int) -> None:
            nonlocal most
            has[worker] = number
            most = max(most, sum(has.values()))

        return SiteSlots(another_broker(), {"one": 3}, at_most, changed)

    async def seen() -> dict[str, int]:
        return dict(has)

    began = time.monotonic()
    async with slots_of("second", 3).held():
        async with slots_of("first", 1).held():
            await eventually(seen, lambda now: any(now.values()))
            assert time.monotonic() - began >= SETTLE_SECONDS
            await eventually(seen, lambda now: sum(now.values()) == 3)
            assert has["first"] <= 1
        await eventually(seen, lambda now: now == {"first": 0, "second": 3})
    assert has == {"first": 0, "second": 0}
    assert most == 3
