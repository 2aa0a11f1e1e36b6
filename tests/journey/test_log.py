"""The worker's log: records of the app's logger, of settlements, and of queues that no worker serves."""

import json

from tests.journey.site import Site


async def test_records_of_the_apps_logger_are_in_the_log_with_their_event(site: Site) -> None:
    """A record of Flask's logger, which writes to the request's error stream, is in the worker's log with the event's
    id and the app's level."""
    (event,) = await site.defer("do.this", "log:something odd")
    worker = site.worker("--until-empty", "--log-format", "json")
    assert await worker.ended() == 0, worker.log
    (line,) = [line for line in worker.log.splitlines() if "something odd" in line]
    assert json.loads(line)["id"] == event
    assert json.loads(line)["level"] == "error"


async def test_events_in_a_queue_that_left_the_settings_are_logged_and_not_awaited(site: Site) -> None:
    """The worker ends when its own queues are empty. On SQLite, which can list old queues, it logs their events."""
    site.configure("[queues.mail]\npatterns = ['do.#']")
    await site.defer("do.this", "ok")
    site.configure("[queues.default]")
    worker = site.worker("--until-settled")
    assert await worker.ended() == 0, worker.log
    assert site.effects() == []
    if site.broker_url.startswith("sqlite"):
        assert "queue mail holds 1 events" in worker.log


async def test_each_settlement_is_one_record_at_its_level(here: Site) -> None:
    """A retry is a warning and a dead letter an error, with the app's traceback; a success is an info record if
    BRIDGE_LOG_EVENTS is set."""
    (event,) = await here.defer("do.this", "fail", "ok")
    (dead,) = await here.defer("do.that", "fail")
    worker = here.worker("--until-settled", "--log-format", "json", BRIDGE_LOG_EVENTS="true")
    assert await worker.ended() == 0, worker.log
    records = [json.loads(line) for line in worker.log.splitlines()]
    settled = [record for record in records if record["logger"] == "bridge.events"]

    assert [(record["level"], record["message"]) for record in settled if record["id"] == event] == [
        ("warning", "retry scheduled: ConnectionError: downstream is down"),
        ("info", "delivered"),
    ]
    assert [record["level"] for record in settled if record["id"] == dead] == ["warning", "warning", "error"]
    failures = [record for record in settled if record["level"] != "info"]
    assert all(record["traceback"].endswith("ConnectionError: downstream is down") for record in failures)
