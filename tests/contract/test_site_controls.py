"""The controls as a running worker knows them: read at first, followed, and read again after the broker was lost."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from bridge.brokers.contract.broker import Broker
from bridge.cancellations import Cancellation
from bridge.controls import Pause, Resume
from bridge.ledger_keys import NO_KEYS
from bridge.moments import Moment, Paused, Resumed
from bridge.queues import Queue
from bridge.site_logs import SITE_LOGS
from tests.contract.acts import an_envelope, now
from tests.contract.conftest import OpenBroker, Site
from tests.limits import PATIENCE
from worker.control.controls_log import ControlsLog, new_pause
from worker.control.site_controls import SiteControls


class Deaf(SiteControls):
    """A worker's controls whose connection brings no record any more, as a network may do for some seconds."""

    async def _follow_controls(self) -> None:
        await asyncio.Event().wait()


@pytest.fixture
async def operator(broker: Broker, site: Site) -> AsyncIterator[ControlsLog]:
    """The logs of controls as a program of an operator uses them, empty."""
    await broker.declare([Queue("default")])
    yield ControlsLog(broker, "shop", NO_KEYS)
    for log in SITE_LOGS:
        await site.drop_log(log.name)


def pause_of(queue: str, seconds: float | None = None) -> Pause:
    """Return a pause of a queue."""
    until = None if seconds is None else now() + timedelta(seconds=seconds)
    return new_pause(queue=queue, until=until, who="ana", why="provider down")


async def until_paused(controls: SiteControls, *pauses: Pause) -> None:
    """Wait until exactly these pauses hold."""
    async with asyncio.timeout(PATIENCE):
        while controls.pauses != pauses:
            await controls.changed()


async def test_pauses_are_known_from_the_start_and_followed(operator: ControlsLog, another_broker: OpenBroker) -> None:
    """Each is told once when it begins and once when it ends, also if it ends by the clock."""
    told: list[Moment] = []
    before, later, short = pause_of("default"), pause_of("mail"), pause_of("short", 1.5)
    await operator.decide(before)
    controls = SiteControls(ControlsLog(another_broker(), "shop", NO_KEYS), told.append)

    async with controls.followed():
        assert controls.pauses == (before,)
        await operator.decide(later)
        await until_paused(controls, before, later)
        await operator.decide(Resume((before.id,), "ana", "", now()))
        await until_paused(controls, later)
        await operator.decide(short)
        await until_paused(controls, later, short)
        await until_paused(controls, later)
        event = an_envelope()
        await operator.cancel(Cancellation(event.event.id, True, "ana", "", now()))
        async with asyncio.timeout(PATIENCE):
            await controls.changed()
        assert (controls.cancellation(event) is None, set(controls.newly_interrupted())) == (False, {event.event.id})

    assert told == [Paused(before), Paused(later), Resumed(before), Paused(short), Resumed(short)]


async def test_after_the_broker_was_lost_pauses_are_read_again(
    operator: ControlsLog, another_broker: OpenBroker
) -> None:
    """Until then they count as unknown, although the connection that follows them brings nothing."""
    controls = Deaf(ControlsLog(another_broker(), "shop", NO_KEYS), lambda moment: None)
    async with controls.followed():
        controls.look(live=True)
        assert not controls.unknown
        controls.look(live=False)
        pause = pause_of("default")
        await operator.decide(pause)
        assert (controls.unknown, controls.pauses) == (True, ())

        controls.look(live=True)
        assert controls.unknown
        await until_paused(controls, pause)

        assert not controls.unknown
