"""The breaker of a queue, while the service that its listeners need is away."""

from tests.journey.site import Site, eventually

TOML = """
retry = {attempts = 20, initial = "1s", base = 1, jitter = 0}
[queues.mail]
patterns = ["do.mail"]
breaker = 5
[queues.default]
"""

EVENTS = 400
IN_HAND = 2 * (16 + 8)
"""The most events that two children may have begun, or have in line, when the breaker opens."""


async def test_a_service_that_is_away_costs_few_attempts_and_no_event(site: Site) -> None:
    """The other events go on meanwhile. When the service is back, all are delivered."""
    site.configure(TOML)
    file = site.directory / "service"
    mails = await site.defer("do.mail", f"need:{file}", count=EVENTS)
    worker = site.worker()
    await worker.says("queue mail: 5 events in a row failed alike (ConnectionError: no connection for event", 60)
    others = await site.defer("do.other", "ok", count=40)
    await eventually(lambda: len(site.effects(name="do.other", began=False)) == len(others), 60, lambda: worker.log)
    failed = len(site.effects(name="do.mail", began=True))
    assert failed <= 5 + IN_HAND

    file.touch()
    await eventually(lambda: len(site.effects(name="do.mail", began=False)) == EVENTS, 120, lambda: worker.log)

    assert {effect.id for effect in site.effects(name="do.mail", began=False)} == set(mails)
    assert "queue mail: an event succeeded after" in worker.log
    assert await site.letters() == []


async def test_one_bad_event_holds_nobody_up(site: Site) -> None:
    """It fails again and again, and the events beside it run."""
    site.configure(TOML.replace('"1s"', '"0.1s"'))
    await site.defer("do.mail", "fail")
    worker = site.worker()
    await eventually(lambda: len(site.effects(step="fail", began=True)) >= 7, 60, lambda: worker.log)
    await site.defer("do.mail", "ok", count=20)
    await eventually(lambda: len(site.effects(step="ok", began=False)) == 20, 30, lambda: worker.log)
    assert "failed alike" not in worker.log
