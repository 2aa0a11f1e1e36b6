"""`defer()` to Sidekiq: what cannot travel is refused by name, and a Redis that fails is an error within
`publish_timeout`."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app_adapter import Deferral, DeferredEvents
from bridge.app_moments import Deferred
from bridge.config.redis_url import RedisServer
from bridge.errors import (
    BrokerUnavailable,
    DeferError,
    DeferForbidden,
    DeferRejected,
    DeferUnavailable,
    DeferUnconfirmed,
    InvalidName,
    InvalidPayload,
    NotAllDeferred,
    TooLarge,
)
from bridge.moments import Moment
from bridge.publishing.sidekiq.publisher import SidekiqPublisher
from tests.deadlines import within
from tests.events import new_event
from tests.limits import PATIENCE
from tests.redis_server import RedisNode
from tests.sidekiq.doubles import QUEUE

TIMEOUT = 3.0
"""Seconds of `publish_timeout` in tests in which it runs out."""

TO: dict[str, Any] = {"to": "sidekiq:default", "job_class": "HardWorker"}

Made = Callable[[str], DeferredEvents]


@pytest.fixture
def extension(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Make the extension of an app with these settings."""
    apps = []  # an extension does not keep its apps

    def make(text: str) -> DeferredEvents:
        (tmp_path / "bridge.toml").write_text(f"publish_timeout = '{PATIENCE}s'\n{text}", "utf-8")
        monkeypatch.chdir(tmp_path)
        apps.append(Flask("shop"))
        return DeferredEvents(apps[-1])

    return make


@pytest.fixture
def events(url: str, extension: Made) -> DeferredEvents:
    """The extension of an app whose settings have the test's Redis."""
    return extension(f'[stores.ruby]\nurl = "{url}"\n')


@pytest.fixture
def hurried(url: str, extension: Made, monkeypatch: pytest.MonkeyPatch) -> DeferredEvents:
    """The same with a short `publish_timeout`."""
    monkeypatch.setenv("BRIDGE_PUBLISH_TIMEOUT", f"{TIMEOUT}s")
    return extension(f'[stores.ruby]\nurl = "{url}"\n')


@pytest.fixture
def broken(node: RedisNode) -> Iterator[RedisNode]:
    """A Redis that the test may break; it runs again afterwards."""
    yield node
    node.resume()
    node.stop()
    node.start()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"priority": "high"}, "priority='high': a job of Sidekiq has none"),
        ({"expires": 60}, "expires=60: a job of Sidekiq has none"),
        ({"retry": {"attempts": 5}}, "retry={'attempts': 5}: a job of Sidekiq has none"),
        ({"key": "order-17"}, "key='order-17': a job of Sidekiq has none"),
        ({"within": "10m"}, "within='10m': a job of Sidekiq has none"),
        ({"on_duplicate": "raise"}, "on_duplicate='raise': a job of Sidekiq has none"),
        ({"content_type": "text/csv"}, "content_type='text/csv': a job of Sidekiq has none"),
        ({"session": object()}, "session=…: a job of Sidekiq is in no transaction"),
        ({"job_class": None}, "job_class=None: expected the name of a Ruby class"),
        ({"job_class": "hard worker"}, "job_class='hard worker': expected the name of a Ruby class"),
        ({"job_class": "A::"}, "job_class='A::': expected the name of a Ruby class"),
        ({"job_class": "A" * 201}, "expected the name of a Ruby class"),
        ({"job_class": 7}, "job_class=7: expected the name of a Ruby class"),
        ({"to": None}, "job_class='HardWorker': expected to='sidekiq:QUEUE' with it"),
        ({"to": "celery:default"}, "to='celery:default': expected 'sidekiq:QUEUE'"),
        ({"to": 7}, "to=7: expected 'sidekiq:QUEUE'"),
        ({"to": "sidekiq:"}, "to='sidekiq:': expected the name of a Sidekiq queue"),
        ({"to": "sidekiq:a b"}, "expected the name of a Sidekiq queue"),
        ({"to": "sidekiq:old/default"}, "expected one of ruby before the /"),
        ({"delay": -1}, "delay=-1: expected a time that is not negative"),
        ({"at": datetime(2030, 1, 1)}, "expected a datetime with a time zone"),
    ],
)
def test_what_cannot_travel_is_refused_by_name(
    events: DeferredEvents, client: Any, arguments: dict[str, Any], why: str
) -> None:
    """One event or several. Nothing is published."""
    with pytest.raises(DeferError) as one:
        events.defer("work.hard", [1], **{**TO, **arguments})
    session = arguments.get("session")
    several = {**TO, **{key: value for key, value in arguments.items() if key != "session"}}
    with pytest.raises(DeferError) as many:
        events.defer_many([Deferral("work.hard", [1], **TO), Deferral("work.hard", [1], **several)], session=session)

    assert why in str(one.value)
    assert why in str(many.value)
    assert client.dbsize() == 0


@pytest.mark.parametrize(
    ("name", "payload", "error"),
    [
        ("not a name", [], InvalidName),
        ("bridge.x", [], InvalidName),
        ("work.hard", b"bytes", InvalidPayload),
        ("work.hard", [float("nan")], InvalidPayload),
        ("work.hard", {1: object()}, InvalidPayload),
        ("work.hard", "x" * 1024**2, TooLarge),
    ],
)
def test_what_is_no_json_is_refused(
    events: DeferredEvents, client: Any, name: str, payload: object, error: type[DeferError]
) -> None:
    """As without `to`."""
    with pytest.raises(error):
        events.defer(name, payload, **TO)

    assert client.dbsize() == 0


def test_a_server_has_to_be_in_the_settings(extension: Made) -> None:
    """The error says where."""
    with pytest.raises(DeferError, match=r"expected a table in \[stores\] of bridge.toml with url = 'redis"):
        extension("").defer("work.hard", **TO)


def test_of_several_servers_one_is_named(node: RedisNode, url: str, client: Any, extension: Made) -> None:
    """Stores of the same server are one."""
    stores = f'[stores.a]\nurl = "{url}"\n[stores.b]\nurl = "{url}"\nqueue = "other"\n'
    extension(stores).defer("work.hard", **TO)
    events = extension(f'{stores}[stores.c]\nurl = "{node.url(0)}"\n')
    with pytest.raises(DeferError, match="expected 'sidekiq:STORE/QUEUE' with one of a, b, c"):
        events.defer("work.hard", **TO)
    events.defer("work.hard", **{**TO, "to": "sidekiq:b/default"})

    assert client.llen(QUEUE) == 2


def test_watchers_are_told(events: DeferredEvents, client: Any) -> None:
    """The event has the id and the data of the job."""
    moments: list[Moment] = []
    events.observe(moments.append)

    event_id = events.defer("work.hard", ["ann"], **TO)

    ((moment),) = moments
    assert isinstance(moment, Deferred)
    assert (moment.event.id, moment.event.name) == (event_id, "work.hard")
    assert json.loads(client.lindex(QUEUE, 0)).items() >= json.loads(moment.event.data).items()


def test_a_test_records_the_job(events: DeferredEvents, client: Any) -> None:
    """It is not published, and a replay does nothing."""
    with events.testing() as deferred:
        event_id = events.defer("work.hard", ["ann"], **TO)
        events.defer_many([Deferral("work.hard", None, delay=5, **TO)])
        outcomes = deferred.replay()

    assert [each.to for each in deferred] == ["sidekiq:default"] * 2
    assert (deferred[0].id, deferred[0].payload["args"]) == (event_id, ["ann"])
    assert outcomes == []
    assert client.dbsize() == 0


def test_many_go_to_their_destinations_in_order(
    url: str, extension: Made, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs of Sidekiq and events of the broker in one call."""
    monkeypatch.setenv("BRIDGE_PUBLISH_TIMEOUT", "30s")
    events = extension(f'[stores.ruby]\nurl = "{url}"\n')
    ids = events.defer_many(
        Deferral("work.hard", number, **(TO if number % 2 else {})) for number in range(2 * 1000 + 10)
    )

    jobs = [json.loads(job) for job in client.lrange(QUEUE, 0, -1)[::-1]]
    assert [job["args"] for job in jobs] == [[number] for number in range(1, 2010, 2)]
    assert [job["jid"] for job in jobs] == ids[1::2]
    assert (tmp_path / "bridge.db").exists()


async def test_what_could_not_be_pushed_is_forgotten(url: str, client: Any) -> None:
    """Jobs that wait for the same connection are pushed together; after an outage, none is left over."""
    publisher = SidekiqPublisher(RedisServer("redis://127.0.0.1:1"))
    data = b'{"queue":"default"}'
    tries = [publisher.publish(new_event("a", data), deadline=within(0.1)) for _ in range(600)]
    errors = await asyncio.gather(*tries, return_exceptions=True)
    assert {type(error) for error in errors} == {BrokerUnavailable}
    assert publisher._waiting == {}

    publisher = SidekiqPublisher(RedisServer(url))
    await asyncio.gather(*(publisher.publish(new_event("a", data), deadline=within(PATIENCE)) for _ in range(600)))
    await publisher.close()
    assert client.llen(QUEUE) == 600
    assert publisher._waiting == {}


def test_one_of_many_that_is_rejected_leaves_the_others(events: DeferredEvents, client: Any) -> None:
    """The error says which one."""
    client.set("queue:bad", "text")

    with pytest.raises(NotAllDeferred) as many:
        events.defer_many(
            Deferral("work.hard", number, **{**TO, "to": f"sidekiq:{'bad' if number == 7 else 'default'}"})
            for number in range(20)
        )

    assert {at: type(error) for at, error in many.value.errors.items()} == {7: DeferRejected}
    jobs = [json.loads(job)["args"][0] for job in client.lrange(QUEUE, 0, -1)[::-1]]
    assert jobs == [number for number in range(20) if number != 7]


def test_a_forked_process_publishes_too(events: DeferredEvents, client: Any) -> None:
    """Over a connection of its own."""
    events.defer("work.hard", ["parent"], **TO)
    child = os.fork()
    if not child:
        try:
            events.defer("work.hard", ["child"], **TO)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    events.defer("work.hard", ["parent again"], **TO)

    jobs = [json.loads(job)["args"][0] for job in client.lrange(QUEUE, 0, -1)[::-1]]
    assert jobs == ["parent", "child", "parent again"]


def defer_in_time(events: DeferredEvents, error: type[DeferError], **arguments: Any) -> str:
    """Defer a job, which must raise this error within `publish_timeout`; return the error's text."""
    began = time.monotonic()
    with pytest.raises(error) as raised:
        events.defer("work.hard", ["x"], **{**TO, **arguments})
    assert time.monotonic() - began < TIMEOUT + 15
    assert type(raised.value) is error
    return str(raised.value)


def test_a_redis_that_is_away_is_an_error_in_time(hurried: DeferredEvents, broken: RedisNode, client: Any) -> None:
    """Nothing was published. A job is published when it is there again, at once or before the deadline."""
    hurried.defer("work.hard", [1], **TO)
    broken.stop()

    assert "could not be reached in time; nothing was published" in defer_in_time(hurried, DeferUnavailable)
    with pytest.raises(NotAllDeferred) as many:
        hurried.defer_many([Deferral("work.hard", 1, **TO), Deferral("work.hard", 2, **TO)])
    assert {type(error) for error in many.value.errors.values()} == {DeferUnavailable}
    broken.start()
    hurried.defer("work.hard", [2], **TO)

    assert [json.loads(job)["args"] for job in client.lrange(QUEUE, 0, -1)[::-1]] == [[1], [2]]


def test_a_redis_that_does_not_answer_is_an_error_in_time(
    hurried: DeferredEvents, broken: RedisNode, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the job was written, it may run."""
    monkeypatch.setattr("bridge.publishing.sidekiq.publisher.FRESH_SECONDS", 0.0)
    hurried.defer("work.hard", [1], **TO)
    broken.pause()
    assert "nothing was published" in defer_in_time(hurried, DeferUnavailable)
    broken.resume()

    monkeypatch.setattr("bridge.publishing.sidekiq.publisher.FRESH_SECONDS", 60.0)
    hurried.defer("work.hard", [2], **TO)
    broken.pause()
    assert "it may still run" in defer_in_time(hurried, DeferUnconfirmed)
    broken.resume()

    assert [json.loads(job)["args"] for job in client.lrange(QUEUE, 0, -1)[::-1]] == [[1], [2], ["x"]]


def test_a_replica_takes_no_jobs(hurried: DeferredEvents, broken: RedisNode, client: Any) -> None:
    """Nothing was published, and after the failover it is."""
    with broken.client() as operator:
        operator.replicaof("127.0.0.1", "1")
        assert "takes no jobs now" in defer_in_time(hurried, DeferUnavailable)
        operator.replicaof("NO", "ONE")
    hurried.defer("work.hard", **TO)

    assert client.llen(QUEUE) == 1


def test_a_redis_without_memory_rejects(events: DeferredEvents, client: Any) -> None:
    """As a full queue of the broker does, with the words of Redis."""
    client.config_set("maxmemory", 1)
    try:
        assert "maxmemory" in defer_in_time(events, DeferRejected)
        assert "maxmemory" in defer_in_time(events, DeferRejected, at=datetime.now(UTC) + timedelta(1))
    finally:
        client.config_set("maxmemory", 0)


def test_a_queue_of_another_type_rejects(events: DeferredEvents, client: Any) -> None:
    """It stays as it is."""
    client.set(QUEUE, "text")

    assert "wrong kind of value" in defer_in_time(events, DeferRejected)
    assert client.get(QUEUE) == b"text"


def test_rights(url: str, client: Any, extension: Made) -> None:
    """A wrong password or a missing right is forbidden. The documented rights are enough, for a job and a delayed
    one."""
    rights = "~queue:* ~queues ~schedule -@all +ping +select +sadd +lpush +zadd"
    client.execute_command("ACL", "SETUSER", "publisher", "reset", "on", ">pw", *rights.split())
    with_login = url.replace("//", "//publisher:pw@")
    extension(f'[stores.ruby]\nurl = "{with_login}"').defer("work.hard", **TO)
    events = extension(f'[stores.ruby]\nurl = "{with_login}"')
    events.defer("work.hard", delay=60, **TO)
    wrong = extension(f'[stores.ruby]\nurl = "{url.replace("//", "//publisher:wr0ng@")}"')

    assert "wr0ng" not in defer_in_time(wrong, DeferForbidden)
    client.execute_command("ACL", "SETUSER", "publisher", "-lpush")
    assert "lpush" in defer_in_time(events, DeferForbidden)
    assert (client.llen(QUEUE), client.zcard("schedule")) == (1, 1)
