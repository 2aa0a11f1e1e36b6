"""Who serves what, with the real programs: workers of some queues, and workers of a group."""

import json

from tests.journey.site import Site

TOML = """
[workers.mail]
app = "behaving:app"
queues = ["mail"]
children = 1
[queues.mail]
patterns = ["do.mail"]
[queues.default]
"""


async def test_a_worker_serves_its_queues_and_leaves_the_others(site: Site) -> None:
    """By --queue, and by the queues of its group. The status names them, and events for other workers wait."""
    site.configure(TOML)
    mail, other = await site.defer("do.mail", "ok"), await site.defer("do.this", "ok")

    worker = site.run("bridge-worker", "--group", "mail", "--until-empty", "--preload")
    assert await worker.ended() == 0, worker.log
    assert [effect.id for effect in site.effects(began=True)] == mail
    assert (await site.backlog())["default"].ready == 1
    assert "pool: 1 child" in worker.log
    assert "queues for other workers: default" in worker.log

    worker = site.worker("--queue", "default")
    await worker.says("ready for events")
    shown = site.run("bridge-status", "--json", "--config", "bridge.toml")
    assert await shown.ended() == 0, shown.log
    [status], _ = json.JSONDecoder().raw_decode(shown.log)  # a line about other workers may follow
    assert list(status["serving"]["queues"]) == ["default"]
    await site.defer("do.mail", "ok")
    worker.process.terminate()
    assert await worker.ended() == 0, worker.log
    assert [effect.id for effect in site.effects(began=True)] == mail + other


async def test_a_queue_that_does_not_exist_ends_the_worker(here: Site) -> None:
    """The message has the closest name, and the exit code is that of bad settings."""
    here.configure(TOML)

    worker = here.worker("--queue", "mial")

    assert await worker.ended() == 2
    assert "--queue = 'mial'" in worker.log
    assert "did you mean mail?" in worker.log
