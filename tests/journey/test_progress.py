"""Progress and more time, from a listener to `bridge-status`, the watchers and the deadline."""

import signal

import pytest

from tests.journey.pool_site import PoolSite
from tests.journey.site import Site, eventually
from tests.journey.test_watching import moments

TELLING = """
watchers = ["watching:note"]
retry = {attempts = 1}
deadline = "10s"

[queues.default]
deadline_at_most = "120s"

[queues.short]
patterns = ["work.short"]
deadline_at_most = "11s"
"""


@pytest.mark.parametrize("preload", [(), ("--preload",)])
async def test_a_listener_tells_its_progress_and_has_more_time(pool: PoolSite, preload: tuple[str, ...]) -> None:
    """It runs beyond the deadline of its queue, up to `deadline_at_most`; `bridge-status` shows both."""
    site = pool.site
    site.configure(TELLING)
    site.environment["MOMENTS"] = pool.environment["MOMENTS"] = str(site.directory / "moments")
    (long,) = await site.defer("work.long", "110s", "go on")
    worker = site.worker(*preload, app="telling:app", own_boot=True, BRIDGE_CONTROL_DIRECTORY=str(pool.sockets))
    await eventually(lambda: any(slot["seconds"] > 10.5 for slot in pool.slots("busy")), report=lambda: worker.log)

    (slot,) = pool.slots("busy")
    shown = pool.asked().stdout
    assert slot["progress"] == {"done": 3, "total": 10, "note": "resizing"}
    assert 100 < slot["deadline"] < 120
    assert " ".join(shown.split()).find("3 of 10, resizing") > 0
    pool.put("go on", "")
    await eventually(lambda: bool(site.effects(id=long, step="done")), report=lambda: worker.log)
    (short,) = await site.defer("work.short", "20s", "never")
    await eventually(lambda: "dead letter (" in worker.log, report=lambda: worker.log)

    assert [effect.step for effect in site.effects(id=long)] == ["granted True", "done"]
    assert [effect.step for effect in site.effects(id=short)] == ["granted False"]
    (letter,) = await site.letters()
    assert letter.envelope.event.id == short
    assert "11 s" in letter.error.message
    told = [line for line in moments(site, moment="Progressed") if line["event"] == long]
    assert 3 <= len(told) <= 4 * 120
    assert (told[0]["note"], told[0]["done"], told[-1]["done"]) == ("resizing", 3, 10)
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0, worker.log


async def test_a_child_that_writes_anything_holds_up_nobody(here: Site) -> None:
    """The worker says so once, and runs the other events."""
    await here.defer("hostile.one")
    worker = here.worker(app="telling:app")
    await worker.says("a child wrote what is no news of an event; it is ignored")
    ids = await here.defer("do.this", "ok", count=50)
    await eventually(lambda: len(here.effects(began=False)) == len(ids), report=lambda: worker.log)

    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0, worker.log
    assert "51 delivered, 0 retries, 0 dead-lettered" in worker.log
    assert worker.log.count("no news of an event") == 1
    assert "\x1b" not in worker.log
