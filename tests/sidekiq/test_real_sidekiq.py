"""A real Sidekiq: it runs what `defer()` publishes, and what its client pushes becomes events."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app_adapter import Deferral, DeferredEvents
from tests.journey.site import eventually
from tests.sidekiq.doubles import CLASSES, HELD, QUEUE, relaying
from tests.sidekiq.real import RealSidekiq
from tests.unit.bridge.publishing.doubles import SwitchedBroker


@pytest.fixture
def ruby(url: str, tmp_path: Path) -> RealSidekiq:
    """Sidekiq on the test's database."""
    return RealSidekiq(url, tmp_path)


@pytest.fixture
def app() -> Flask:
    """An app."""
    return Flask("shop")


@pytest.fixture
def events(app: Flask, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeferredEvents:
    """The extension of an app whose settings have this Redis."""
    (tmp_path / "bridge.toml").write_text(f'[stores.ruby]\nurl = "{url}"\n')
    monkeypatch.chdir(tmp_path)
    made = DeferredEvents()
    made.init_app(app)
    return made


async def test_it_runs_what_is_deferred(events: DeferredEvents, ruby: RealSidekiq, client: Any) -> None:
    """In order, with the arguments and the id. A delayed job is in its schedule until its time."""
    payloads = [["bob", 5], {"name": "日本語 ☠", "deep": [1.5, None, True]}, None, "text", [], ["x" * 100_000]]
    ids = [events.defer("work.hard", each, to="sidekiq:default", job_class="HardWorker") for each in payloads]
    ids += events.defer_many(
        Deferral("work.hard", number, to="sidekiq:critical", job_class="HardWorker") for number in range(50)
    )
    later = datetime.now(UTC) + timedelta(days=1)
    late = events.defer("work.hard", ["late"], at=later, to="sidekiq:default", job_class="HardWorker")

    scheduled = ruby.client("Sidekiq::ScheduledSet.new.map { |job| [job.jid, job.at.to_f, job.queue, job.args] }")
    ruby.client("Sidekiq::ScheduledSet.new.each(&:add_to_queue)")
    with ruby.running("default", "critical"):
        await eventually(lambda: len(ruby.done) == len(payloads) + 51, report=lambda: str(ruby.done))

    assert scheduled == [[late, pytest.approx(later.timestamp(), abs=1e-3), "default", ["late"]]]
    ran = dict(ruby.done)
    assert [ran[each] for each in ids[: len(payloads)]] == [
        ["bob", 5],
        [payloads[1]],
        [],
        ["text"],
        [],
        ["x" * 100_000],
    ]
    assert [ran[each] for each in ids[len(payloads) :]] == [[number] for number in range(50)]
    assert ran[late] == ["late"]
    assert client.smembers("queues") == {b"default", b"critical"}


def test_a_job_is_written_as_its_client_writes_it(events: DeferredEvents, ruby: RealSidekiq, client: Any) -> None:
    """With the same keys, in the queue and in the schedule, and with values of the same kind. In the queue the order is
    the same, too; in the schedule, the client itself has another one."""
    ruby.client("[HardWorker.perform_async('bob', 5), HardWorker.perform_in(3600, 'bob', 5)]")
    events.defer("work.hard", ["bob", 5], to="sidekiq:default", job_class="HardWorker")
    events.defer("work.hard", ["bob", 5], to="sidekiq:default", job_class="HardWorker", delay="2h")

    for jobs in (client.lrange(QUEUE, 0, -1)[::-1], client.zrange("schedule", 0, -1)):
        theirs, ours = ({**json.loads(each)} for each in jobs)
        assert sorted(theirs) == sorted(ours)
        assert list(theirs) == list(ours) or "enqueued_at" not in theirs
        assert len(theirs["jid"]) == len(ours["jid"])
        assert theirs["created_at"] == pytest.approx(ours["created_at"], abs=30)
        own = ("jid", "created_at", "enqueued_at")
        assert {key: theirs[key] for key in theirs if key not in own} == {k: ours[k] for k in ours if k not in own}


async def test_what_its_client_pushes_becomes_events(ruby: RealSidekiq, url: str, client: Any) -> None:
    """Of `perform_async`, `push_bulk` and `perform_in`, byte for byte."""
    broker, began = SwitchedBroker(), time.time()
    ids = ruby.client(
        "[DeferEvent.perform_async('YToxOntpOjA7aTowO30='), DeferEvent.perform_in(3600, {'a' => '日本語'}),"
        " *Sidekiq::Client.push_bulk('class' => DeferEvent, 'args' => (1..100).map { |n| [n] })]"
    )
    jobs = {*client.lrange(QUEUE, 0, -1), *client.zrange("schedule", 0, -1)}

    async with relaying(url, broker):
        await eventually(lambda: len(broker.taken) == 102 and not client.hlen(HELD), report=lambda: str(broker.taken))

    assert {event.data for event, _ in broker.taken} == jobs
    assert {event.id for event, _ in broker.taken} == set(ids)
    assert {event.name for event, _ in broker.taken} == {CLASSES["DeferEvent"]}
    (due,) = [due for _, due in broker.taken if due is not None]
    assert due.timestamp() == pytest.approx(began + 3600, abs=60)
    assert [event.id for event, due in broker.taken if due is None][1:] == ids[2:]


async def test_it_works_beside_a_relay(ruby: RealSidekiq, url: str, client: Any) -> None:
    """It runs the jobs of its classes. A job of ours that it has taken fails there, because it does not know the
    class, and becomes an event from its retry set. So does a job of a mapped class that has failed there."""
    broker = SwitchedBroker()
    with ruby.running():
        async with relaying(url, broker, classes={"DeferEvent": "legacy.defer"}):
            ids = ruby.client(
                "(1..200).map { |n| [HardWorker.perform_async(n), DeferEvent.perform_async(n)] }.transpose"
            )
            ruby.client("HardWorker.perform_async('fail')")
            await eventually(lambda: len(ruby.done) == 200, report=lambda: str(len(ruby.done)))
            await eventually(
                lambda: len({event.id for event, _ in broker.taken}) == 200, report=lambda: str(broker.tries)
            )
            await eventually(lambda: client.zcard("retry") == 1 and not client.hlen(HELD), report=lambda: "no retry")

    before = json.loads(client.zrange("retry", 0, -1)[0])
    due = client.zrange("retry", 0, -1, withscores=True)[0][1]
    async with relaying(url, broker, classes={"HardWorker": "work.hard"}):
        await eventually(lambda: len(broker.taken) == 201 and not client.hlen(HELD), report=lambda: str(broker.tries))

    assert sorted(jid for jid, _ in ruby.done) == sorted(ids[0])
    assert sorted(event.id for event, _ in broker.taken[:-1]) == sorted(ids[1])
    failed, failed_due = broker.taken[-1]
    assert json.loads(failed.data) == before
    assert before["error_message"] == "boom ☠"
    assert failed_due is not None
    assert failed_due.timestamp() == pytest.approx(due, abs=1e-3)
