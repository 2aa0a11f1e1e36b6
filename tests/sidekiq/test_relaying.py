"""The relay of a queue of Sidekiq: each job of a mapped class reaches the broker, and leaves Redis after its
confirm."""

import asyncio
import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.moments import Moment, Relayed
from bridge.publishing.relay import BATCH
from bridge.publishing.sidekiq import held as held_module
from tests.sidekiq.doubles import HELD, MOST, QUEUE, a_job, number_of, numbers_of, push, relaying, store_of
from tests.unit.bridge.publishing.doubles import SwitchedBroker, until


@pytest.fixture(autouse=True)
def _closed_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay whose broker is silent ends at once."""
    monkeypatch.setattr("bridge.publishing.store_relay.CLOSE_SECONDS", 0.1)


def left(client: Any) -> int:
    """Return the number of jobs in the queue, the sets, and with relays."""
    return int(client.llen(QUEUE) + client.zcard("schedule") + client.zcard("retry") + client.hlen(HELD))


async def test_jobs_become_events_in_order_and_are_deleted_after_their_confirm(url: str, client: Any) -> None:
    """Many at a time. At every confirm the job is still in Redis."""
    broker, moments, there = SwitchedBroker(), list[Moment](), list[bool]()
    broker.before_answer = lambda: there.append(len(there) % 100 != 0 or left(client) >= 2 * BATCH - len(there))
    push(client, map(a_job, range(2 * BATCH)))

    async with relaying(url, broker, moments.append):
        await until(lambda: left(client) == 0)

    assert numbers_of(broker) == list(range(2 * BATCH))
    assert all(there)
    assert 1 < broker.most_at_a_time <= BATCH
    assert moments == [Relayed(event, due) for event, due in broker.taken]
    assert client.keys("bridge:*") == [b"bridge:sidekiq:default:number"]


async def test_the_event_is_the_job_byte_for_byte(url: str, client: Any) -> None:
    """Its id is the job's jid, its name that of the class, its time that of the job's creation."""
    broker, job = SwitchedBroker(), a_job(7, "Mail", locale="日本語\n\x00")
    push(client, [job])

    async with relaying(url, broker):
        await until(lambda: left(client) == 0)

    ((event, due),) = broker.taken
    assert event.data == job
    assert (event.id, event.name, event.source) == (f"{7:024x}", "mail.sent", "sidekiq:default")
    assert (event.time, event.content_type, due) == (
        datetime.fromtimestamp(1700000000.5, UTC),
        "application/json",
        None,
    )


async def test_scheduled_jobs_and_retries_keep_their_time(url: str, client: Any) -> None:
    """Those that are due already run at once. Jobs of other queues stay in the sets."""
    broker, later = SwitchedBroker(), 4102444800.25
    retry = a_job(2, retry_count=3, error_class="RuntimeError", error_message="boom ☠")
    client.zadd("schedule", {a_job(1): later, a_job(4): 1700000001, a_job(5, queue="other"): later})
    client.zadd("retry", {retry: later + 1, a_job(6, "Unknown", queue="other"): later})

    async with relaying(url, broker):
        await until(lambda: len(broker.taken) == 3 and client.hlen(HELD) == 0)

    due = {number_of(event): due for event, due in broker.taken}
    assert due.pop(1) == datetime.fromtimestamp(later, UTC)
    assert due.pop(2) == datetime.fromtimestamp(later + 1, UTC)
    assert due == {4: datetime.fromtimestamp(1700000001, UTC)}
    assert retry in [event.data for event, _ in broker.taken]
    assert client.zcount("schedule", later, later) == client.zcount("retry", later, later) == 1
    assert client.zcard("schedule") == client.zcard("retry") == 1


async def test_a_job_of_another_class_stays_where_it_is(
    url: str, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the class once, and the jobs after it are relayed. Sidekiq takes it in its order."""
    broker, strangers = SwitchedBroker(), [a_job(number, "HardWorker") for number in range(100, 1500)]
    push(client, [*strangers[:700], a_job(1), *strangers[700:], a_job(2)])
    client.zadd("schedule", {a_job(3, "HardWorker"): 4102444800})

    async with relaying(url, broker):
        await until(lambda: len(broker.taken) == 2 and client.hlen(HELD) == 0)
        push(client, [a_job(4)])
        await until(lambda: len(broker.taken) == 3 and client.hlen(HELD) == 0)

    assert numbers_of(broker) == [1, 2, 4]
    assert client.lrange(QUEUE, 0, -1)[::-1] == strangers
    assert client.zcard("schedule") == 1
    assert caplog.text.count("jobs of class 'HardWorker' stay in queue:default; expected the class in `classes`") == 1


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[1]", "not JSON"),
        (b'{"class": "DeferEvent", "args": [NaN], "jid": "a"}', "NaN is not JSON"),
        (b'{"class": "DeferEvent", "args": [' + b"1" * 5000 + b'], "jid": "a"}', "not JSON"),
        (b"[" * 50_000, "not JSON"),
        (b'{"args": [], "jid": "a"}', "without a class"),
        (b'{"class": ["DeferEvent"], "args": [], "jid": "a"}', "without a class"),
        (b'{"class": "DeferEvent", "args": []}', "without jid or args"),
        (b'{"class": "DeferEvent", "args": [], "jid": "\\ud800"}', "without jid or args"),
        (b'{"class": "DeferEvent", "args": {}, "jid": "a"}', "without jid or args"),
        (b'{"class": "\\ud800\\u0000", "args": {}, "jid": "a"}', "of class '\\ud800\\x00'"),
        (a_job(1, padding="x" * MOST), "too large"),
    ],
)
async def test_what_is_no_job_stays_and_is_named(
    url: str, client: Any, caplog: pytest.LogCaptureFixture, text: bytes, what: str
) -> None:
    """In the queue and in both sets. The jobs around it are relayed."""
    broker = SwitchedBroker()
    push(client, [a_job(1), text, a_job(2)])
    client.zadd("schedule", {text: 1})
    client.zadd("retry", {text: 1})

    async with relaying(url, broker):
        await until(lambda: len(broker.taken) == 2 and client.hlen(HELD) == 0)

    assert client.lrange(QUEUE, 0, -1) == client.zrange("schedule", 0, -1) == client.zrange("retry", 0, -1) == [text]
    assert caplog.text.count(f"jobs {what} stay in" if what.startswith("of") else what) == 1


async def test_the_classes_of_active_job_are_those_that_it_wraps(url: str, client: Any) -> None:
    """And the wrapper's own name takes all of them that have none of their own."""
    broker, wrapper = SwitchedBroker(), "ActiveJob::QueueAdapters::SidekiqAdapter::JobWrapper"
    push(client, [a_job(1, wrapper, wrapped="Mail"), a_job(2, wrapper, wrapped="Other"), a_job(3, "X", wrapped=4)])

    async with relaying(url, broker, classes={"Mail": "mail.sent", wrapper: "rails.job"}):
        await until(lambda: len(broker.taken) == 2 and client.hlen(HELD) == 0)

    assert {number_of(event): event.name for event, _ in broker.taken} == {1: "mail.sent", 2: "rails.job"}
    assert client.llen(QUEUE) == 1


async def test_times_of_sidekiq_8_are_read(url: str, client: Any) -> None:
    """They are milliseconds."""
    broker = SwitchedBroker()
    push(client, [a_job(1, created_at=1700000000500), a_job(2, created_at="soon", enqueued_at=None)])

    async with relaying(url, broker):
        await until(lambda: len(broker.taken) == 2)

    first, second = (event.time for event, _ in broker.taken)
    assert first == datetime.fromtimestamp(1700000000.5, UTC)
    assert second == datetime.fromtimestamp(0, UTC)


async def test_large_jobs_travel(url: str, client: Any) -> None:
    """Up to the largest that is taken, many of them."""
    broker = SwitchedBroker()
    jobs = [a_job(number, padding="é" * (MOST // 7)) for number in range(400)]
    assert max(map(len, jobs)) < MOST
    push(client, jobs)

    async with relaying(url, broker):
        await until(lambda: left(client) == 0)

    assert [event.data for event, _ in broker.taken] == jobs


async def test_relays_share_the_work(url: str, client: Any) -> None:
    """Each job is published once. Sidekiq's own processes take what they get first, and nobody takes that too."""
    broker, told = SwitchedBroker(), (list[Moment](), list[Moment]())
    push(client, map(a_job, range(4 * BATCH)))
    own: list[bytes] = []

    async with relaying(url, broker, told[0].append), relaying(url, broker, told[1].append):
        while left(client):
            if (job := client.rpop(QUEUE)) is not None:
                own.append(job)
            await asyncio.sleep(0.01)

    assert min(map(len, told)) > 0
    assert own
    assert sorted(numbers_of(broker) + [json.loads(job)["args"][0] for job in own]) == list(range(4 * BATCH))


async def test_what_a_relay_held_when_it_was_killed_is_taken_over(
    url: str, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When its leases have run out, and no earlier. The ids are the same. What these settings do not take is put back
    to its place."""
    broker, killed = SwitchedBroker(), store_of(url)
    push(client, [a_job(1), a_job(2, "Mail"), a_job(3)])
    client.zadd("schedule", {a_job(4, "Mail"): 4102444800})
    monkeypatch.setattr(held_module, "LEASE_SECONDS", 3.0)
    before_lease, times = time.monotonic(), list[float]()
    before = [stored.read()[0] for stored in await killed.read(0, 10)]
    broker.before_answer = lambda: times.append(time.monotonic())

    async with relaying(url, broker, classes={"DeferEvent": "legacy.defer"}):
        await until(lambda: len(broker.taken) == 2 and client.hlen(HELD) == 0)

    assert min(times) >= before_lease + 3.0
    assert [event for event, _ in broker.taken] == [event for event in before if event.name == "legacy.defer"]
    assert [json.loads(job)["args"] for job in client.lrange(QUEUE, 0, -1)] == [[2]]
    assert client.zrange("schedule", 0, -1, withscores=True)[0][1] == 4102444800
    assert client.keys("bridge:*") == [b"bridge:sidekiq:default:number"]


async def test_a_lease_is_renewed_while_the_broker_is_away(
    url: str, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other relay takes the jobs over, also when the first lease would have run out."""
    monkeypatch.setattr(held_module, "LEASE_SECONDS", 12.0)
    full, broker = SwitchedBroker("full"), SwitchedBroker()
    push(client, [a_job(1)])

    async with relaying(url, full):
        await until(lambda: full.tries > 0)
        async with relaying(url, broker):
            await asyncio.sleep(13)
            assert broker.taken == []
        full.answer = "confirm"
        await until(lambda: left(client) == 0)

    assert numbers_of(full) == [1]


async def test_a_relay_that_ends_puts_back_what_it_holds(url: str, client: Any) -> None:
    """In its order, and with its time, for whoever takes it next."""
    broker, jobs = SwitchedBroker("full"), [a_job(number) for number in range(5)]
    push(client, jobs)
    client.zadd("retry", {a_job(9): 4102444800.125})

    async with relaying(url, broker):
        await until(lambda: client.hlen(HELD) == 6)
        push(client, [a_job(7, "Mine")])

    assert client.lrange(QUEUE, 1, -1)[::-1] == jobs
    assert client.zrange("retry", 0, -1, withscores=True)[0][1] == 4102444800.125
    assert client.keys("bridge:*") == [b"bridge:sidekiq:default:number"]


async def test_an_event_that_the_broker_refuses_is_tried_again(url: str, client: Any) -> None:
    """The others go on."""
    broker = SwitchedBroker()
    broker.answers["mail.sent"] = "full"
    push(client, [a_job(1, "Mail"), *map(a_job, range(2, 400))])

    async with relaying(url, broker):
        await until(lambda: len(broker.taken) == 398)
        del broker.answers["mail.sent"]
        await until(lambda: left(client) == 0)

    assert numbers_of(broker) == [*range(2, 400), 1]


async def test_equal_jobs_are_all_relayed(url: str, client: Any) -> None:
    """Even if they are the same byte for byte: two jobs are two events with one id."""
    broker, job = SwitchedBroker(), a_job(1)
    push(client, [job, job])

    async with relaying(url, broker):
        await until(lambda: left(client) == 0)

    assert len(broker.taken) == 2
