"""How a worker ends: by SIGKILL, by SIGTERM, by a second SIGTERM, or by an option such as --until-empty."""

import signal

import pytest

from tests.journey.site import Site, eventually

BEFORE_THE_BROKER = pytest.mark.parametrize("site", ["sqlite"], indirect=True)
"""For ends that come before the worker has met its broker, so that one stands for both."""


async def test_a_worker_that_is_killed_in_mid_event_leaves_it_to_the_next_and_no_orphan(site: Site) -> None:
    """The children end with the worker at once, even in the middle of an event; the next worker runs that event."""
    (event,) = await site.defer("do.this", "sleep:3600", "ok")
    first = site.worker()
    await eventually(lambda: len(site.effects()) == 1, report=lambda: first.log)
    first.signal(signal.SIGKILL)
    await first.ended()
    await eventually(lambda: not site.processes)
    site.configure("deadline = '1s'\nretry = {attempts = 20, initial = '1s'}")
    second = site.worker("--until-settled")
    assert await second.ended() == 0, second.log
    assert [effect.attempt for effect in site.effects(id=event, began=True)][:3] == [1, 1, 2]


async def test_sigterm_finishes_what_runs_and_takes_nothing_new(site: Site) -> None:
    """Events that were prefetched but not begun return to their queue at once."""
    site.configure("deadline = '1h'\n")
    await site.defer("do.this", "until:gate", count=8)
    worker = site.worker("--grace", "1h")
    await eventually(lambda: len(site.effects(began=True)) == 2, report=lambda: worker.log)
    worker.signal(signal.SIGTERM)
    await worker.says("stopping: asked to")
    await site.ready(6)
    (site.directory / "gate").touch()
    assert await worker.ended() == 0
    assert len(site.effects(began=True)) == len(site.effects(began=False)) == 2
    assert not site.processes


async def test_a_second_sigterm_ends_the_worker_at_once_and_returns_the_event(site: Site) -> None:
    """The running event returns to its queue."""
    await site.defer("do.this", "sleep:3600", "ok")
    worker = site.worker("--grace", "1h")
    await eventually(lambda: len(site.effects()) == 1, report=lambda: worker.log)
    worker.signal(signal.SIGTERM)
    await worker.says("stopping: asked to")
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0
    await site.ready(1)
    assert not site.processes


async def test_an_event_that_runs_longer_than_the_grace_is_cut_off_and_returned(site: Site) -> None:
    """The worker ends after `--grace`, and the running event returns to its queue."""
    site.configure("grace = '1h'\n")
    await site.defer("do.this", "sleep:3600")
    worker = site.worker("--grace", "1s")
    await eventually(lambda: len(site.effects()) == 1, report=lambda: worker.log)
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0
    assert "running events were cancelled and return to their queue" in worker.log
    await site.ready(1)


async def test_until_empty_does_not_wait_for_delayed_events(site: Site) -> None:
    """An event that is due in an hour stays in the broker, and the log has the number of such events."""
    await site.defer("do.this", "ok", count=20)
    await site.defer("do.this", "ok", delay=3600)
    worker = site.worker("--until-empty")
    assert await worker.ended() == 0, worker.log
    assert len(site.effects(began=False)) == 20
    assert "the queues are empty; 1 wait for their time" in worker.log
    assert (await site.backlog())["default"].waiting == 1


async def test_max_events_limits_the_events_that_begin(site: Site) -> None:
    """All other events stay ready in their queue."""
    await site.defer("do.this", "ok", count=10)
    worker = site.worker("--max-events", "4")
    assert await worker.ended() == 0, worker.log
    assert len(site.effects(began=True)) == 4
    await site.ready(6)


async def test_idle_exit_ends_a_worker_that_has_nothing_to_do(site: Site) -> None:
    """The worker ends --idle-exit seconds after the last event."""
    await site.defer("do.this", "ok")
    worker = site.worker("--idle-exit", "1")
    assert await worker.ended() == 0, worker.log
    assert "idle for 1 s" in worker.log
    assert len(site.effects(began=False)) == 1


@BEFORE_THE_BROKER
@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("missing:app", "missing"),
        ("behaving:nothing", "nothing"),
        ("no_extension:app", "DeferredEvents"),
        ("walled:app", "/login"),
    ],
)
async def test_an_app_that_cannot_boot_stops_the_worker_with_the_reason(site: Site, app: str, said: str) -> None:
    """The worker ends with exit code 4 before it takes an event. The warm-up also finds an app that redirects every
    request to a login page."""
    await site.defer("do.this", "ok")
    worker = site.worker(app=app, own_boot=True)
    assert await worker.ended() == 4, worker.log
    assert said in worker.log
    await site.ready(1)
    assert not site.processes


@BEFORE_THE_BROKER
async def test_an_app_that_defers_elsewhere_stops_the_worker(site: Site) -> None:
    """The worker ends with exit code 2 and names both brokers, since it would get no events of the app."""
    worker = site.worker(app="elsewhere:app", own_boot=True)
    assert await worker.ended() == 2, worker.log
    assert "elsewhere.db" in worker.log
    assert "BRIDGE_BROKER_URL" in worker.log


@BEFORE_THE_BROKER
@pytest.mark.parametrize("url", ["amqp://127.0.0.1:1/", "sqlite:////proc/none/bridge.db"])
async def test_a_broker_that_cannot_be_reached_stops_the_worker(site: Site, url: str) -> None:
    """The worker ends with exit code 3."""
    worker = site.worker(BRIDGE_BROKER_URL=url)
    assert await worker.ended() == 3, worker.log
    assert not site.processes
