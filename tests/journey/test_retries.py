"""Retries: the waits of a policy come in order, also across restarts."""

import asyncio
import signal
from itertools import pairwise

import pytest

from tests.journey.site import Effect, Site, eventually


def waits(runs: list[Effect]) -> list[float]:
    """Return the seconds between successive runs."""
    return [later.at - earlier.at for earlier, later in pairwise(runs)]


async def test_a_policys_waits_come_in_order_across_a_restart_of_the_worker(site: Site) -> None:
    """After a worker was killed between two attempts, the next attempt has the right number and time."""
    site.configure("retry = 'site_policies:chain'")
    await site.defer("do.this", "fail")
    first = site.worker()
    await eventually(lambda: first.log.count("retry scheduled") == 2, report=lambda: first.log)
    assert await site.run("bridge-status").ended() == 0  # before this answer, the worker has acknowledged the events
    first.signal(signal.SIGKILL)
    second = site.worker("--until-settled")
    assert await second.ended() == 0, second.log
    assert [effect.attempt for effect in site.effects()] == [1, 2, 3, 4, 5]
    late = [waited - asked for waited, asked in zip(waits(site.effects()), (1, 3, 2, 1), strict=True)]
    assert min(late) >= 0
    assert sorted(late)[2] < 1.5  # one may be longer: the machine may stall, and a worker boots
    (letter,) = await site.letters()
    assert (letter.reason, len(letter.envelope.attempts)) == ("attempts used up", 5)


async def test_stop_after_delay_counts_from_the_first_due_time(site: Site) -> None:
    """`stop_after_delay` counts the seconds since the event was first due, not since a process started."""
    site.configure("retry = 'site_policies:two_seconds'")
    await site.defer("do.this", "fail")
    worker = site.worker("--until-settled")
    assert await worker.ended() == 0, worker.log
    (letter,) = await site.letters()
    ended = [
        (attempt.started - letter.envelope.event.time).total_seconds() + attempt.seconds
        for attempt in letter.envelope.attempts
    ]
    assert ended[-1] >= 2.0
    assert all(seconds < 2.0 for seconds in ended[:-1])


async def test_only_the_queue_that_failed_runs_again(site: Site) -> None:
    """If one of two queues of an event fails, only that queue runs the event again."""
    site.configure(
        "retry = {attempts = 2, initial = '1s', jitter = 0}\n"
        "[queues.mail]\npatterns = ['do.#']\n[queues.audit]\npatterns = ['#']\n"
    )
    await site.defer("do.this", "fail-in:mail")
    worker = site.worker("--until-settled")
    assert await worker.ended() == 0, worker.log
    runs = [effect for effect in site.effects() if effect.began]
    assert sorted((effect.queue, effect.attempt) for effect in runs) == [("audit", 1), ("mail", 1), ("mail", 2)]
    assert [letter.queue for letter in await site.letters()] == ["mail"]


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
async def test_a_policy_that_cannot_be_imported_stops_the_worker_at_its_start(site: Site) -> None:
    """The worker ends with exit code 2, and the error names the key and the value."""
    site.configure("[queues.mail]\npatterns = ['#']\nretry = 'site_policies:nothing'")
    worker = site.worker()
    assert await worker.ended() == 2
    assert "queues.mail.retry = 'site_policies:nothing'" in worker.log


async def test_a_delayed_event_is_not_early(site: Site) -> None:
    """An event with a delay of 2 s runs once, after at least 2 s."""
    start = asyncio.get_running_loop().time()
    await site.defer("do.this", "ok", delay=2.0)
    worker = site.worker("--until-settled")
    assert await worker.ended() == 0, worker.log
    assert asyncio.get_running_loop().time() - start >= 2.0
    assert [effect.attempt for effect in site.effects(began=True)] == [1]
