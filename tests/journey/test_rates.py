"""Limits for a whole site: the rate of a queue, and its slots."""

import os
import subprocess
import time
from signal import SIGKILL

from tests.journey.site import PROGRAMS, Effect, Program, Site, eventually
from tests.limits import PATIENCE

RATE = '[queues.slow]\npatterns = ["do.slow"]\nrate = "10/s"\nburst = 2\n[queues.default]\n'
SITE_SLOTS = '[queues.one]\npatterns = ["do.one"]\nsite_slots = 2\n[queues.default]\n'

DELAY = 0.6
"""Events begin in the worker and are timed in the app. A busy machine delays some of them by up to this many seconds,
so that more of them come together."""


def began(site: Site, name: str) -> list[float]:
    """The times at which the events of this name began."""
    return sorted(effect.at for effect in site.effects(name=name, began=True))


def most_within(times: list[float], seconds: float) -> int:
    """The most events that began within a window of this many seconds."""
    return max(sum(first <= time < first + seconds for time in times) for first in times)


async def test_a_rate_that_two_workers_share(site: Site) -> None:
    """Two workers together begin no more than 10 events a second, and the events of another queue do not wait for
    them."""
    site.configure(RATE)
    workers = [site.worker(), site.worker()]
    for worker in workers:
        await worker.says("its rate is shared by 2 workers;")
    slow = await site.defer("do.slow", "ok", count=120)
    others = await site.defer("do.other", "ok", count=20)

    await eventually(lambda: len(began(site, "do.other")) == len(others), PATIENCE, lambda: workers[0].log)
    await eventually(lambda: len(began(site, "do.slow")) == len(slow), PATIENCE, lambda: workers[0].log)

    times = began(site, "do.slow")
    assert began(site, "do.other")[-1] < times[-1]
    assert times[-1] - times[0] >= (len(slow) - 2) / 10 - DELAY
    for seconds in (1.0, 3.0, 5.0):
        assert most_within(times, seconds) <= 10 * (seconds + DELAY) + 2
    pids = {effect.pid for effect in site.effects(name="do.slow")}
    assert len(pids) >= 2


async def test_what_waits_for_its_rate_holds_nothing_up(site: Site) -> None:
    """A worker with one slot runs other events while those of a slow queue wait, and `bridge-status` says why."""
    site.configure('[queues.rare]\npatterns = ["do.rare"]\nrate = "1/h"\n[queues.default]\n')
    worker = site.worker("--children", "1")
    await site.defer("do.rare", "ok", count=4)
    await eventually(lambda: len(began(site, "do.rare")) == 1, PATIENCE, lambda: worker.log)

    await site.defer("do.other", "ok", count=10)
    await eventually(lambda: len(began(site, "do.other")) == 10, PATIENCE, lambda: worker.log)

    assert len(began(site, "do.rare")) == 1
    assert "rare waits: its rate: this worker has 0.000278 a second" in status(site)


def status(site: Site) -> str:
    """Return the output of `bridge-status`."""
    command = [str(PROGRAMS / "bridge-status")]
    environment = {**os.environ, **site.environment}
    return subprocess.run(
        command, cwd=site.directory, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    ).stdout


async def test_a_worker_that_is_gone_leaves_its_share(here: Site) -> None:
    """After a kill, the other worker has the whole rate within seconds."""
    here.configure('[queues.slow]\npatterns = ["do.slow"]\nrate = "2/s"\n[queues.default]\n')
    workers = [here.worker(), here.worker()]
    for worker in workers:
        await worker.says("its rate is shared by 2 workers;")

    workers[0].signal(SIGKILL)
    await workers[1].says("its rate is shared by 1 worker;", 30)
    await here.defer("do.slow", "ok", count=25)
    await eventually(lambda: len(began(here, "do.slow")) == 25, PATIENCE, lambda: workers[1].log)

    times = began(here, "do.slow")
    assert times[-1] - times[0] < 20  # half the rate would take 24 s
    assert most_within(times, 5.0) <= 2 * (5 + DELAY) + 1


async def test_slots_of_the_whole_site(site: Site) -> None:
    """Three workers with two children each run no more than two events of the queue at a time, also after one of them
    was killed; the events of another queue run beside them."""
    site.configure(SITE_SLOTS)
    workers = [site.worker() for _ in range(3)]
    await site.defer("do.one", "sleep:0.3", count=24)
    await eventually(lambda: len(ended(site)) >= 6, PATIENCE, lambda: workers[0].log)
    killed = worker_that_runs(site, workers)
    its_processes = site_processes(killed)
    at = time.time()
    killed.signal(SIGKILL)
    await killed.ended()
    await eventually(lambda: not its_processes & set(site.processes), PATIENCE, lambda: f"{its_processes} run on")

    await eventually(lambda: len(ended(site)) >= 24, PATIENCE, lambda: "\n".join(each.log for each in workers))

    assert most_at_once(site, its_processes, at) == 2


def ended(site: Site) -> set[str]:
    """The events of the queue that have ended."""
    return {effect.id for effect in site.effects(name="do.one", began=False)}


def worker_that_runs(site: Site, workers: list[Program]) -> Program:
    """Return a worker one of whose children has run the newest event."""
    pid = site.effects(name="do.one")[-1].pid
    return next(worker for worker in workers if pid in site_processes(worker))


def site_processes(worker: Program) -> set[int]:
    """The children of a worker, and those that its nursery has forked."""
    found, level = set[int](), [worker.process.pid]
    while level:
        level = [child for pid in level for child in children_of(pid)]
        found.update(level)
    return found


def children_of(pid: int) -> list[int]:
    """The child processes of a process."""
    listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(each) for each in listed.stdout.split()]


def most_at_once(site: Site, killed: set[int], at: float) -> int:
    """The most events of the queue that ran at a time. The runs of the `killed` processes ended then: from that time
    on others may have their slots, and run other events before those are repeated."""
    running: set[tuple[str, int]] = set()
    most = 0
    for effect in sorted(site.effects(name="do.one"), key=lambda effect: effect.at):
        if effect.at >= at:
            running = {run for run in running if run[1] not in killed}
            if effect.pid in killed:
                continue  # a child may get as far as this line before the kernel ends it
        most = max(most, note(running, effect))
    return most


def note(running: set[tuple[str, int]], effect: Effect) -> int:
    """Note the begin or the end of a run; return how many run now."""
    if effect.began:
        running.add((effect.id, effect.pid))
    else:
        running.discard((effect.id, effect.pid))
    return len(running)
