"""Sidekiq with the real programs: no job is lost, whenever the relay is killed; and what stays is shown."""

import asyncio
import json
import random
import signal
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiormq
import pytest
from pamqp.commands import Basic

from bridge.publishing.relay import BATCH
from tests.journey.site import Program, Site, eventually, site_on_sqlite
from tests.sidekiq.doubles import HELD, QUEUE, a_job, push

KILLS, JOBS_A_KILL = 6, 400
SETTINGS = """
[stores.old]
url = "{url}"
classes = {{DeferEvent = "legacy.defer"}}
"""


@pytest.fixture
def site(rabbitmq_url: str, url: str, tmp_path: Path) -> Iterator[Site]:
    """A site on RabbitMQ with this Redis."""
    site = Site(tmp_path, rabbitmq_url, f"s{uuid.uuid4().hex[:10]}")
    site.configure(SETTINGS.format(url=url))
    yield site
    site.remove()


async def published(site: Site) -> list[bytes]:
    """Take everything out of the site's queue; return the data of the events, in order."""
    connection = await aiormq.connect(site.broker_url)
    channel = await connection.channel()
    found = []
    while True:
        message = await channel.basic_get(f"{site.namespace}.q.default", no_ack=True)
        if not isinstance(message.delivery, Basic.GetOk):
            break
        found.append(message.body)
    await connection.close()
    return found


@pytest.mark.rabbitmq
@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 7))])
async def test_no_job_is_lost_when_relays_are_killed(site: Site, client: Any, seed: int) -> None:
    """Each job becomes an event, at any point of its way. A kill repeats at most what was in flight. Every fourth time
    there are two relays, and the sets have jobs too."""
    chance, pushed = random.Random(seed), list[bytes]()
    held = f"{site.namespace}:sidekiq:default"

    def left() -> int:
        return int(client.llen(QUEUE) + client.zcard("schedule") + client.zcard("retry"))

    async def at_most(wished: int, relay: Program) -> None:
        await eventually(lambda: left() <= wished, report=lambda: relay.log)

    kills = 0

    for kill in range(KILLS):
        jobs = [a_job(kill * JOBS_A_KILL + number) for number in range(JOBS_A_KILL)]
        push(client, jobs[20:])
        client.zadd("schedule", dict.fromkeys(jobs[:10], 1))
        client.zadd("retry", dict.fromkeys(jobs[10:20], 1))
        pushed += jobs
        wished = chance.randrange(left())
        relays = [site.run("bridge-relay") for _ in range(2 if kill % 4 == 3 else 1)]
        kills += len(relays)
        await at_most(wished, relays[0])
        await asyncio.sleep(chance.random() * 0.4)
        for relay in relays:
            relay.signal(signal.SIGKILL)
            await relay.ended()

    if leases := client.zrange(f"{held}:leases", 0, -1):
        client.zadd(f"{held}:leases", dict.fromkeys(leases, 0))  # as if their time was over
    last = site.run("bridge-relay")
    await eventually(lambda: left() + client.hlen(f"{held}:held") == 0, report=lambda: last.log)
    last.signal(signal.SIGTERM)
    assert await last.ended() == 0
    events = Counter(await published(site))

    assert events.keys() == {*pushed}
    assert len(pushed) == KILLS * JOBS_A_KILL
    repeats = events.total() - len(pushed)
    print(f"seed {seed}: {repeats} repeats of {len(pushed)} jobs in {kills} kills")
    assert repeats <= BATCH * kills
    assert client.keys(f"{held}*") == [f"{held}:number".encode()]


async def test_a_relay_that_is_stopped_gives_back(url: str, client: Any, tmp_path: Path) -> None:
    """SIGTERM while it holds jobs that the broker does not take. The broker is a file; it needs no other."""
    site = site_on_sqlite(tmp_path)
    try:
        site.configure(f"[queues.mail]\npatterns = ['mail.#']\n{SETTINGS.format(url=url)}")
        jobs = [a_job(number) for number in range(10)]
        push(client, jobs)
        relay = site.run("bridge-relay")
        await eventually(lambda: client.llen(QUEUE) < 10, report=lambda: relay.log)
        relay.signal(signal.SIGTERM)
        assert await relay.ended() == 0
    finally:
        site.remove()

    assert client.hlen(HELD) == 0
    assert {*client.lrange(QUEUE, 0, -1)} <= {*jobs}


async def test_what_stays_is_shown(url: str, client: Any, tmp_path: Path) -> None:
    """`bridge-status` counts it, `bridge-doctor` says what to do. Of a Redis that is away, both say so."""
    site = site_on_sqlite(tmp_path)
    try:
        site.configure(SETTINGS.format(url=url) + '[stores.away]\nurl = "redis://127.0.0.1:1"\nclasses = {A = "a"}\n')
        push(client, [a_job(1), a_job(2, "HardWorker", enqueued_at=1700000000), b"{"])

        status = site.run("bridge-status", "--json")
        await status.ended()
        text = site.run("bridge-status")
        await text.ended()
        doctor = site.run("bridge-doctor", "--json")
        await doctor.ended()
    finally:
        logs = status.log, text.log, doctor.log
        site.remove()

    old, away = (each for each in json.loads(logs[0][: logs[0].rindex("]") + 1]) if each["kind"] == "sidekiq")
    assert (old["sidekiq"], old["events"]) == ("old", 1)
    assert old["staying"] == {"jobs of class 'HardWorker'": 1, "jobs that are not JSON": 1}
    assert "redis://127.0.0.1:1" in away["trouble"]
    assert "jobs of class 'HardWorker' stay there: 1" in logs[1]
    assert "old: jobs of class 'HardWorker' (1), jobs that are not JSON (1) stay in Redis" in logs[2]
    assert "away: redis://127.0.0.1:1: " in logs[2]
