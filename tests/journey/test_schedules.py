"""Schedules: each moment runs once, whichever worker is killed and whatever the clock does."""

import asyncio
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from signal import SIGKILL, SIGTERM

import pytest

from bridge.config.settings import load_settings
from bridge.schedule import Schedule
from tests.faults.shifted import shift
from tests.journey.site import Program, Site, eventually
from tests.limits import PATIENCE
from tests.rabbitmq_node import RabbitNode

SECOND = timedelta(seconds=1)
EVERY_SECOND = """
[schedules.tick]
event = "do.tick"
cron = "* * * * * *"
payload = {do = ["ok"]}
"""
KILLS = 2
IN_FLIGHT = 1.5 * SECOND
"""How long before or after a kill a moment can be whose event the kill interrupts."""

HOLDS = "this worker publishes the events of the schedules"


class Moments:
    """The moments of a site's schedule, by what ran."""

    def __init__(self, site: Site, name: str) -> None:
        self._site = site
        settings = load_settings(environ=site.environment, file=str(site.directory / "bridge.toml"))
        self._schedule: Schedule = next(each for each in settings.schedules() if each.name == name)

    @property
    def runs(self) -> Counter[str]:
        """How often the event of each id has run."""
        return Counter(each.id for each in self._site.effects(name=self._schedule.event, began=True))

    def ids(self, after: datetime, before: datetime) -> dict[str, datetime]:
        """The ids of the events of all moments between two times."""
        moments = takewhile(lambda moment: moment < before, self._schedule.moments(after))
        return {self._schedule.event_at(each, self._site.namespace, "any").id: each for each in moments}

    def ran(self, moment: datetime) -> bool:
        """Return whether the event of this moment has run."""
        return self._schedule.event_at(moment, self._site.namespace, "any").id in self.runs

    async def run_on(self, worker: Program) -> datetime:
        """Wait until the second moment from now has run; return it."""
        moment = datetime.now(UTC).replace(microsecond=0) + 2 * SECOND
        await eventually(lambda: self.ran(moment), report=lambda: f"{moment} has not run: {worker.log}")
        return moment


async def test_each_moment_once_whoever_is_killed(site: Site) -> None:
    """Of three workers, the one that publishes is killed twice at a moment. The third is stopped, and a new one makes
    up for the moments in between: no moment is lost, and none has two events."""
    site.configure(EVERY_SECOND)
    moments, began = Moments(site, "tick"), datetime.now(UTC)
    workers = [site.worker() for _ in range(3)]
    await eventually(lambda: bool(moments.runs), report=lambda: workers[0].log)
    for worker in workers:
        await worker.says("ready for events")
    await moments.run_on(workers[0])
    kills = list[datetime]()
    for _ in range(KILLS):
        holder = await holder_of(workers)
        await asyncio.sleep(1 - time.time() % 1)  # until the very moment
        holder.signal(SIGKILL)
        kills.append(datetime.now(UTC))
        await holder.ended()
        workers.remove(holder)
        await moments.run_on(workers[0])
    workers[0].signal(SIGTERM)
    await workers[0].ended()
    stopped = datetime.now(UTC)
    await eventually(lambda: datetime.now(UTC) > stopped + 3 * SECOND)
    last = site.worker()
    end = await moments.run_on(last)
    last.signal(SIGTERM)
    await last.ended()

    all_ids, runs = moments.ids(began, end), moments.runs
    ran = [moment for id, moment in all_ids.items() if id in runs]
    lost = [moment for id, moment in all_ids.items() if id not in runs and moment > min(ran)]
    twice = [moment for id, moment in all_ids.items() if runs[id] > 1 and not near(moment, kills)]
    assert not lost
    assert not runs.keys() - moments.ids(began, datetime.now(UTC)).keys()
    assert not twice  # but for those that a kill interrupted, which run again with the same id


@pytest.mark.rabbitmq
async def test_moments_while_rabbitmq_is_away(node: RabbitNode, node_site: Site) -> None:
    """They run late, each with one event, when RabbitMQ is back."""
    node_site.configure(EVERY_SECOND)
    moments, began = Moments(node_site, "tick"), datetime.now(UTC)
    worker = node_site.worker()
    await worker.says("schedule tick: published")

    left = datetime.now(UTC)
    await asyncio.to_thread(node.restart)
    back = datetime.now(UTC)
    end = await moments.run_on(worker)
    worker.signal(SIGTERM)
    await worker.ended()

    runs = moments.runs
    lost = [moment for id, moment in moments.ids(left, end).items() if id not in runs]
    assert not lost, worker.log
    assert not runs.keys() - moments.ids(began, datetime.now(UTC)).keys()
    twice = [moment for id, moment in moments.ids(back + IN_FLIGHT, end).items() if runs[id] > 1]
    assert not twice


def near(moment: datetime, kills: list[datetime]) -> bool:
    """Return whether a moment's event may have been in flight at a kill."""
    return any(abs(moment - kill) <= IN_FLIGHT for kill in kills)


async def holder_of(workers: list[Program]) -> Program:
    """Wait until one of these workers publishes; return it."""
    await eventually(lambda: any(HOLDS in each.log for each in workers))
    return next(each for each in workers if HOLDS in each.log)


class Clock:
    """The wall clock of a worker, which a test sets."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "shift"
        shift(self.file, 0.0)

    def set(self, to: str) -> None:
        """Set the clock to a time such as "2030-06-01 02:59:58", in UTC."""
        shift(self.file, datetime.fromisoformat(to).replace(tzinfo=UTC).timestamp() - time.time())


async def test_a_clock_that_is_set(here: Site) -> None:
    """Back: a moment that has run does not run again. Forward: a missed moment runs late, once, unless it is too old,
    which the log says."""
    here.configure(
        '[schedules.nightly]\nevent = "do.nightly"\ncron = "0 3 * * *"\npayload = {do = ["ok"]}\n'
        '[schedules.tick]\nevent = "do.tick"\ncron = "* * * * * *"\npayload = {do = ["ok"]}\ncatch_up = "20s"\n'
    )
    clock, nightly, tick = Clock(here.directory), Moments(here, "nightly"), Moments(here, "tick")
    clock.set("2030-06-01 01:00:00")
    worker = Program(
        [sys.executable, "-m", "tests.faults.shifted", str(clock.file), "worker", "behaving:app", "--children", "1"],
        here.directory,
        {**here.environment, "PYTHONPATH": str(Path(__file__).parents[2])},
    )

    async def runs(moments: Moments, at: str) -> None:
        moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
        await eventually(lambda: moments.ran(moment), report=lambda: f"{at} has not run: {worker.log}")

    await worker.says(HOLDS)
    clock.set("2030-06-01 02:59:57")
    await runs(nightly, "2030-06-01 03:00:00")
    await runs(tick, "2030-06-01 03:00:05")
    clock.set("2030-06-01 02:59:59")
    await runs(tick, "2030-06-01 03:00:08")
    clock.set("2030-06-02 03:20:00")
    await runs(nightly, "2030-06-02 03:00:00")
    clock.set("2030-06-03 05:00:00")
    await worker.says("schedule nightly: the moments from 2030-06-03T03:00:00+00:00 on")
    await runs(tick, "2030-06-03 05:00:02")
    worker.signal(SIGTERM)
    await worker.ended()

    assert sorted(nightly.runs.values()) == [1, 1]
    assert set(tick.runs.values()) == {1}


def test_a_schedule_that_cannot_be(here: Site) -> None:
    """Every program that reads the settings names the key, the value and what was expected."""
    here.configure(
        '[schedules.nightly]\nevent = "no name"\ncron = "61 * * * *"\ntimezone = "Mars"\npayload = 12:00:00\n'
    )

    worker = here.worker()
    assert worker.process.wait(PATIENCE) == 2
    for line in (
        "schedules.nightly.event = 'no name'",
        "schedules.nightly.cron = '61 * * * *'",
        "schedules.nightly.timezone = 'Mars'",
        "schedules.nightly.payload = datetime.time(12, 0)",
    ):
        assert line in worker.log


def test_a_schedule_whose_event_no_queue_takes(here: Site) -> None:
    """The worker does not start."""
    here.configure(EVERY_SECOND + '[queues.mail]\npatterns = ["mail.#"]\n')

    worker = here.worker()
    assert worker.process.wait(PATIENCE) == 2
    assert "schedules.tick.event = 'do.tick'" in worker.log
