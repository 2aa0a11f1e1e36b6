"""The private RabbitMQ node itself: that it works, keeps its data and leaves nothing. Not a test of the bridge."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import aio_pika
import pytest

from tests.guard import marked_processes
from tests.rabbitmq_node import RabbitNode, RabbitNodeError, shared_node

pytestmark = pytest.mark.rabbitmq

ROOT = Path(__file__).parents[2]
QUEUE = "kept"


async def put(url: str, body: bytes) -> None:
    """Publish one persistent message to a durable queue, confirmed."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, routing_key=QUEUE)


async def take(url: str) -> bytes | None:
    """Take one message from the queue; None from an empty one."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        message = await queue.get(no_ack=True, fail=False)
        return None if message is None else message.body


async def open_and_close(url: str) -> None:
    """Open an AMQP connection, within a second."""
    async with asyncio.timeout(1.0), await aio_pika.connect(url):
        pass


def test_a_restart_keeps_a_durable_queue(node: RabbitNode) -> None:
    """What was confirmed into a durable queue is there after a restart in good order."""
    asyncio.run(put(node.url, b"before the restart"))

    node.restart()

    assert asyncio.run(take(node.url)) == b"before the restart"


def test_a_killed_node_starts_again_on_its_data(node: RabbitNode) -> None:
    """What was confirmed into a durable queue survives SIGKILL."""
    asyncio.run(put(node.url, b"before the kill"))

    node.kill()
    node.start()

    assert asyncio.run(take(node.url)) == b"before the kill"


def test_a_virtual_host_is_apart(node: RabbitNode) -> None:
    """What is put into one virtual host is not seen in another."""
    first, second = node.new_vhost(), node.new_vhost()

    asyncio.run(put(first, b"mine"))

    assert asyncio.run(take(second)) is None
    assert asyncio.run(take(first)) == b"mine"


def test_a_paused_node_does_not_answer(node: RabbitNode) -> None:
    """A paused node takes no connection within a second; once resumed it does."""
    node.pause()
    try:
        with pytest.raises(TimeoutError):
            asyncio.run(open_and_close(node.url))
    finally:
        node.resume()

    asyncio.run(open_and_close(node.url))


def test_the_app_can_be_stopped_and_started(node: RabbitNode) -> None:
    """Between stop_app and start_app the port is closed."""
    node.stop_app()
    try:
        with pytest.raises(aio_pika.exceptions.AMQPConnectionError):
            asyncio.run(open_and_close(node.url))
    finally:
        node.start_app()

    asyncio.run(open_and_close(node.url))


def test_a_failing_command_tells_what_rabbitmqctl_said(node: RabbitNode) -> None:
    """The error carries rabbitmqctl's own words."""
    with pytest.raises(RabbitNodeError, match="no_such_host"):
        node.ctl("delete_vhost", "no_such_host")


def test_a_server_that_ends_at_once_shows_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that cannot start raises at once, with the end of its log, and is removed."""
    server = tmp_path / "rabbitmq-server"
    server.write_text("#!/bin/sh\necho cannot find my Erlang\nexit 70\n")
    server.chmod(0o755)
    monkeypatch.setenv("RABBITMQ_SERVER", str(server))

    with pytest.raises(RabbitNodeError, match=r"ended with 70\ncannot find my Erlang"), RabbitNode():
        pass


def test_a_missing_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A RABBITMQ_SERVER that is not there is named in the error."""
    monkeypatch.setenv("RABBITMQ_SERVER", "/no/such/rabbitmq-server")

    with pytest.raises(RabbitNodeError, match="/no/such/rabbitmq-server"):
        RabbitNode()


def test_a_given_broker_is_used_and_nothing_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """With BRIDGE_TEST_AMQP_URL no server is looked for."""
    monkeypatch.setenv("RABBITMQ_SERVER", "/no/such/rabbitmq-server")
    monkeypatch.setenv("BRIDGE_TEST_AMQP_URL", "amqp://elsewhere/")

    with shared_node() as url:
        assert url == "amqp://elsewhere/"


STARTS_A_NODE = """
import time
from tests.rabbitmq_node import RabbitNode
node = RabbitNode()
node.start()
print(node.directory, flush=True)
{then}
"""


def start_elsewhere(then: str) -> tuple[subprocess.Popen[str], str]:
    """Start a node from another Python, which then does `then`; the process and the node's directory."""
    command = [sys.executable, "-c", STARTS_A_NODE.format(then=then)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def assert_nothing_is_left(directory: str) -> None:
    """Await, 10 s at most, that no process of the node lives and that its directory is gone."""
    deadline = time.monotonic() + 10.0
    while marked_processes(directory) or Path(directory).exists():
        assert time.monotonic() < deadline, f"left: {directory}, processes {marked_processes(directory)}"
        time.sleep(0.02)


def test_remove_leaves_nothing() -> None:
    """After remove() the node, its epmd and its directory are gone; a second remove() does nothing."""
    node = RabbitNode()
    node.start()
    directory = str(node.directory)
    assert len(marked_processes(directory)) >= 2  # the node and its epmd at least: the count can tell

    node.remove()
    node.remove()

    assert marked_processes(directory) == []
    assert not node.directory.exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_the_test_process_is_ended(number: signal.Signals) -> None:
    """Whatever ends the process that started the node, nothing of the node is left."""
    process, directory = start_elsewhere("time.sleep(60)")
    assert marked_processes(directory) != []

    os.kill(process.pid, number)
    process.communicate()

    assert_nothing_is_left(directory)
