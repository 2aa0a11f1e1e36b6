"""How a worker ends: killed, asked to stop, asked twice, or because it has done what it was ordered to."""

import signal

import pytest

from tests.journey.site import Site, eventually


async def test_a_worker_that_is_killed_in_mid_event_leaves_it_to_the_next_and_no_orphan(site: Site) -> None:
    """Its children end with it, at once, though one is in the middle of an event."""
    (event,) = await site.defer("do.this", "sleep:3600", "ok")
    first = site.worker()
    await eventually(lambda: len(site.effects()) == 1, report=lambda: first.log)
    first.signal(signal.SIGKILL)
    await first.ended()
    await eventually(lambda: not site.processes)
    site.configure("deadline = '1s'\nretry = {attempts = 3, initial = '1s'}")
    second = site.worker("--until-settled")
    assert await second.ended() == 0, second.log
    assert [effect.attempt for effect in site.effects(id=event, began=True)] == [1, 1, 2]


async def test_sigterm_finishes_what_runs_and_takes_nothing_new(site: Site) -> None:
    """What was fetched and not begun is there for the next worker at once."""
    await site.defer("do.this", "sleep:1.5", count=8)
    worker = site.worker()
    await eventually(lambda: len(site.effects(began=True)) == 2, report=lambda: worker.log)
    worker.signal(signal.SIGTERM)
    await worker.says("stopping: asked to")
    backlog = await site.backlog()
    assert backlog["default"].ready == 6
    assert await worker.ended() == 0
    assert len(site.effects(began=True)) == len(site.effects(began=False)) == 2
    assert not site.processes


async def test_a_second_sigterm_ends_now_and_the_event_goes_back(site: Site) -> None:
    """No attempt is spent for it."""
    await site.defer("do.this", "sleep:3600", "ok")
    worker = site.worker()
    await eventually(lambda: len(site.effects()) == 1, report=lambda: worker.log)
    worker.signal(signal.SIGTERM)
    await worker.says("stopping: asked to")
    worker.signal(signal.SIGTERM)
    assert await worker.ended(within=10) == 0
    assert (await site.backlog())["default"].ready == 1
    assert not site.processes


async def test_what_runs_past_the_grace_is_cut_off_and_goes_back(site: Site) -> None:
    """A worker ends when it said that it would."""
    await site.defer("do.this", "sleep:3600")
    worker = site.worker("--grace", "1s")
    await eventually(lambda: len(site.effects()) == 1, report=lambda: worker.log)
    worker.signal(signal.SIGTERM)
    assert await worker.ended(within=10) == 0
    assert "cut off" in worker.log
    assert (await site.backlog())["default"].ready == 1


async def test_until_empty_counts_what_waits_and_does_not_await_it(site: Site) -> None:
    """An event that is due in an hour stays where it is."""
    await site.defer("do.this", "ok", count=20)
    await site.defer("do.this", "ok", delay=3600)
    worker = site.worker("--until-empty")
    assert await worker.ended() == 0, worker.log
    assert len(site.effects(began=False)) == 20
    assert "the queues are empty; 1 wait for their time" in worker.log
    assert (await site.backlog())["default"].waiting == 1


async def test_max_events_begins_so_many_and_no_more(site: Site) -> None:
    """The others are ready for somebody else."""
    await site.defer("do.this", "ok", count=10)
    worker = site.worker("--max-events", "4")
    assert await worker.ended() == 0, worker.log
    assert len(site.effects(began=True)) == 4
    assert (await site.backlog())["default"].ready == 6


async def test_idle_exit_ends_a_worker_that_has_nothing_to_do(site: Site) -> None:
    """Counted from the last event."""
    await site.defer("do.this", "ok")
    worker = site.worker("--idle-exit", "1")
    assert await worker.ended() == 0, worker.log
    assert "idle for 1 s" in worker.log
    assert len(site.effects(began=False)) == 1


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
    """Exit code 4. A login wall in front of everything shows at warm-up, before any event is taken."""
    await site.defer("do.this", "ok")
    worker = site.worker(app=app)
    assert await worker.ended() == 4, worker.log
    assert said in worker.log
    assert (await site.backlog())["default"].ready == 1
    assert not site.processes


async def test_an_app_that_defers_elsewhere_stops_the_worker(site: Site) -> None:
    """Exit code 2, and both brokers are named: the worker would wait where nothing comes."""
    worker = site.worker(app="elsewhere:app")
    assert await worker.ended() == 2, worker.log
    assert "elsewhere.db" in worker.log
    assert "BRIDGE_BROKER_URL" in worker.log


@pytest.mark.parametrize("url", ["amqp://127.0.0.1:1/", "sqlite:////proc/none/bridge.db"])
async def test_a_broker_that_cannot_be_reached_stops_the_worker(site: Site, url: str) -> None:
    """Exit code 3."""
    worker = site.worker(BRIDGE_BROKER_URL=url)
    assert await worker.ended() == 3, worker.log
    assert not site.processes
