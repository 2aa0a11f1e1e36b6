"""What the worker's log tells a person about the app and about queues that nobody serves."""

from tests.journey.site import Site


async def test_what_the_apps_logger_says_is_in_the_log_with_its_event(site: Site) -> None:
    """Flask's logger writes to the error stream of the request: a traceback there is what one looks for first."""
    (event,) = await site.defer("do.this", "log:something odd")
    worker = site.worker("--until-empty", "--log-format", "json")
    assert await worker.ended() == 0, worker.log
    (line,) = [line for line in worker.log.splitlines() if "something odd" in line]
    assert event in line


async def test_events_in_a_queue_that_left_the_settings_are_told_of_and_not_awaited(site: Site) -> None:
    """Only SQLite can list what was declared once; on either broker the worker ends when its own queues are empty."""
    site.configure("[queues.mail]\npatterns = ['do.#']")
    await site.defer("do.this", "ok")
    site.configure("[queues.default]")
    worker = site.worker("--until-settled")
    assert await worker.ended() == 0, worker.log
    assert site.effects() == []
    if site.broker_url.startswith("sqlite"):
        assert "queue mail holds 1 events" in worker.log
