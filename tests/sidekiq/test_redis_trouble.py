"""The relay of a queue of Sidekiq and a Redis that is away, refuses, or is another one: nothing is lost, and the log
says what is wrong."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from bridge.config.redis_url import redis_url
from tests.certificates import Authority
from tests.redis_server import RedisNode
from tests.sidekiq.doubles import HELD, QUEUE, a_job, numbers_of, push, relaying
from tests.unit.bridge.publishing.doubles import SwitchedBroker, until

STAYS = "the events in the Sidekiq queue default of redis"
RIGHTS = (
    "~queue:default ~schedule ~retry ~bridge:sidekiq:* -@all +ping +select +lrange +zrange +hmget +hlen "
    "+time +zcount +evalsha +script|load +lrem +rpush +type +zscore +zrem +zadd +zrangebyscore +incr +hset +hget +hdel "
    "+multi +exec"
)


@pytest.fixture(autouse=True)
def _closed_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay whose broker is silent ends at once."""
    monkeypatch.setattr("bridge.publishing.store_relay.CLOSE_SECONDS", 0.1)


@pytest.fixture
def own_node() -> Iterator[RedisNode]:
    """A Redis server of this test."""
    with RedisNode() as server:
        yield server


def grant(client: Any, *rights: str, user: str = "bridge") -> None:
    """Change what a user may do."""
    client.execute_command("ACL", "SETUSER", user, *rights)


async def test_the_relay_waits_for_redis(url: str, node: RedisNode, caplog: pytest.LogCaptureFixture) -> None:
    """A job that was published and could not be deleted is deleted then, and not published again by this process."""
    caplog.set_level(logging.INFO, "bridge")
    broker = SwitchedBroker()
    broker.before_answer = node.stop
    with redis.Redis.from_url(url) as client:
        push(client, [a_job(1)])
        push(client, [a_job(2)])

    async with relaying(url, broker):
        await until(lambda: STAYS in caplog.text)
        broker.before_answer = lambda: None
        await asyncio.to_thread(node.start)
        await until(lambda: "is empty again; 2 events were published" in caplog.text)

    with redis.Redis.from_url(url) as client:
        assert client.llen(QUEUE) + client.hlen(HELD) == 0
    assert numbers_of(broker) == [1, 2]


async def test_a_redis_that_does_not_answer_is_named(
    url: str, node: RedisNode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The relay goes on when it answers again."""
    monkeypatch.setattr("bridge.publishing.sidekiq.connection.ANSWER_SECONDS", 0.3)
    broker = SwitchedBroker()
    async with relaying(url, broker):
        node.pause()
        try:
            await until(lambda: STAYS in caplog.text)
        finally:
            node.resume()
        with redis.Redis.from_url(url) as client:
            push(client, [a_job(1)])
        await until(lambda: numbers_of(broker) == [1])


async def test_a_replica_is_not_written_to(
    url: str, node: RedisNode, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """After a failover the old master is read only. The relay connects anew until it finds a master."""
    broker = SwitchedBroker()
    push(client, [a_job(1)])
    with node.client() as operator:
        operator.replicaof("127.0.0.1", "1")
        try:
            async with relaying(url, broker):
                await until(lambda: "read only replica" in caplog.text)
                assert broker.taken == []
                operator.replicaof("NO", "ONE")
                await until(lambda: client.llen(QUEUE) + client.hlen(HELD) == 0)
        finally:
            operator.replicaof("NO", "ONE")

    assert numbers_of(broker) == [1]


async def test_a_place_of_another_type_is_named(url: str, client: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is taken from it."""
    client.set(QUEUE, "text")

    async with relaying(url, SwitchedBroker()):
        await until(lambda: "WRONGTYPE" in caplog.text)

    assert client.get(QUEUE) == b"text"


async def test_a_wrong_password_is_named_and_not_shown(
    own_node: RedisNode, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The password may be in a file. A user with only the documented rights is enough."""
    with own_node.client() as operator:
        grant(operator, "on", ">s3cret/%", *RIGHTS.split())
        push(operator, [a_job(1), a_job(2, "Other")])
        operator.zadd("schedule", {a_job(3): 1})
        grant(operator, "off", user="default")
    file = tmp_path / "password"
    file.write_text("s3cret/%\n")
    url, broker = own_node.url().replace("//", "//bridge@"), SwitchedBroker()

    async with relaying(url.replace("bridge@", "bridge:wr0ng@"), broker):
        await until(lambda: "WRONGPASS" in caplog.text or "invalid username-password" in caplog.text)
    async with relaying(url, broker, password_file=str(file)) as store:
        await until(lambda: len(broker.taken) == 2)
        assert (await store.found()).staying == {"jobs of class 'Other'": 1}

    assert sorted(numbers_of(broker)) == [1, 3]
    assert "wr0ng" not in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("command", ["incr", "hset", "zadd", "lrem", "hdel", "zrem", "type", "evalsha"])
async def test_a_missing_right_loses_nothing(
    node: RedisNode, url: str, client: Any, caplog: pytest.LogCaptureFixture, command: str
) -> None:
    """And takes nothing twice. A script of Redis that fails in the middle is not rolled back. The relay goes on when
    the right is granted."""
    rights = [right for right in RIGHTS.split() if right != f"+{command}"]
    grant(client, "reset", "on", ">p", *rights)
    push(client, [a_job(1), a_job(2)])
    broker = SwitchedBroker()

    async with relaying(url.replace("//", "//bridge:p@"), broker):
        await until(lambda: STAYS in caplog.text)
        await asyncio.sleep(0.3)
        assert client.llen(QUEUE) == 2
        grant(client, f"+{command}")
        await until(lambda: client.llen(QUEUE) + client.hlen(HELD) == 0)

    assert numbers_of(broker) == [1, 2]


async def test_a_redis_without_memory_is_emptied(
    node: RedisNode, url: str, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Redis refuses writes that need memory, and the relay frees it."""
    broker = SwitchedBroker()
    push(client, map(a_job, range(50)))
    client.config_set("maxmemory", 1)
    try:
        async with relaying(url, broker):
            await until(lambda: client.llen(QUEUE) + client.hlen(HELD) == 0)
    finally:
        client.config_set("maxmemory", 0)

    assert numbers_of(broker) == list(range(50))
    assert caplog.text == ""


async def test_tls(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With the authority in the URL; without it, the certificate is refused."""
    authority = Authority(tmp_path, "authority")
    with RedisNode(tls=(authority, authority.sign("redis", "DNS:localhost"))) as node:
        url, broker = f"rediss://localhost:{node.port}/0", SwitchedBroker()
        with node.client() as client:
            push(client, [a_job(1)])

        async with relaying(url, broker):
            await until(lambda: "certificate verify failed" in caplog.text.lower())
        assert broker.taken == []
        async with relaying(redis_url(f"{url}?ssl_ca_certs={authority.file}"), broker):
            await until(lambda: numbers_of(broker) == [1])


async def test_the_number_of_the_database_counts(own_node: RedisNode) -> None:
    """In a URL with a host, and in one with a socket."""
    broker = SwitchedBroker()
    for database in (0, 3, 4):
        with redis.Redis.from_url(own_node.url(database)) as client:
            push(client, [a_job(database)])

    async with relaying(own_node.url(3), broker):
        await until(lambda: numbers_of(broker) == [3])
    async with relaying(f"unix://{own_node.socket}?db=4", broker):
        await until(lambda: numbers_of(broker) == [3, 4])

    with own_node.client() as client:
        assert client.llen(QUEUE) == 1
