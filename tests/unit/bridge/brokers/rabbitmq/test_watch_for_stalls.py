"""The connection of a lane that is stalled is renewed, and no other one."""

import asyncio
from collections.abc import Callable, Sequence

import pytest
from aiormq.exceptions import AMQPConnectionError

from bridge.brokers.rabbitmq.consuming import stalls
from bridge.brokers.rabbitmq.consuming.stalls import watch_for_stalls
from bridge.brokers.rabbitmq.consuming.subscriptions import Lane
from bridge.handling import Priority
from tests.limits import PATIENCE

MAIL, PAY = Lane("mail", Priority.NORMAL), Lane("pay", Priority.NORMAL)


class Seen:
    """Stands for the subscriptions of a connection."""

    def __init__(self, *quiet: Lane) -> None:
        self.lanes = frozenset(quiet)

    def quiet(self) -> frozenset[Lane]:
        return self.lanes

    def listen_anew(self) -> None:
        """Do nothing: the lanes stay as quiet as they are."""


class Watch:
    """A watch over lanes that all have messages. It is renewed, or it ends after `looks` counts. `during` is called in
    each count."""

    def __init__(
        self, present: Seen | None, *standing_by: Lane, during: Callable[["Watch"], None] | None = None
    ) -> None:
        self.present = present
        self.counted: list[list[Lane]] = []
        self.renewed = 0
        self._standing_by = standing_by
        self._during = during
        self._enough = asyncio.Event()

    async def run(self, looks: int) -> "Watch":
        self._looks = looks
        watching = asyncio.create_task(
            watch_for_stalls(
                lambda: self.present,  # type: ignore[arg-type,return-value]  # Seen has the two methods that the watch calls
                lambda lane: lane in self._standing_by,
                self._count,
                self._renew,
            )
        )
        async with asyncio.timeout(PATIENCE):
            await self._enough.wait()
        watching.cancel()
        await asyncio.wait([watching])
        return self

    async def _count(self, lanes: Sequence[Lane]) -> Sequence[int]:
        self.counted.append(list(lanes))
        if len(self.counted) > self._looks:
            self._enough.set()
        if self._during is not None:
            self._during(self)
        return [1] * len(lanes)

    async def _renew(self) -> None:
        self.renewed += 1
        self._enough.set()


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stalls, "LOOKED_EVERY", 0.001)


async def test_a_lane_with_messages_that_stays_quiet() -> None:
    """It is seen twice before the connection is renewed."""
    watch = await Watch(Seen(MAIL)).run(10)

    assert (watch.renewed, watch.counted) == (1, [[MAIL], [MAIL]])


async def test_a_lane_may_stand_by() -> None:
    """It is not asked for."""
    watch = await Watch(Seen(MAIL, PAY), MAIL, PAY).run(5)

    assert (watch.renewed, set(map(tuple, watch.counted))) == (0, {()})


async def test_what_arrives_during_the_count() -> None:
    """The lane is not stalled."""

    def arrives(watch: Watch) -> None:
        watch.present = Seen() if len(watch.counted) % 2 == 0 else Seen(MAIL)

    watch = await Watch(Seen(MAIL), during=arrives).run(6)

    assert watch.renewed == 0


async def test_a_connection_that_breaks_during_the_count() -> None:
    """The watch goes on with the next one."""

    def breaks(watch: Watch) -> None:
        if len(watch.counted) == 2:
            watch.present = Seen(PAY)
            raise AMQPConnectionError("the connection broke")

    watch = await Watch(Seen(MAIL), during=breaks).run(10)

    assert (watch.renewed, watch.counted) == (1, [[MAIL], [MAIL], [PAY], [PAY]])


async def test_a_new_connection_begins_anew() -> None:
    """A lane that was suspected on the connection before is not suspected on this one."""

    def changes(watch: Watch) -> None:
        watch.present = Seen(MAIL)

    watch = await Watch(Seen(MAIL), during=changes).run(6)

    assert watch.renewed == 0
