"""The private RabbitMQ node itself: it works, keeps its data and leaves no files. No program of ours runs."""

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
from tests.limits import PATIENCE
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
    """Take one message from the queue; return its body, or None if the queue is empty."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        message = await queue.get(no_ack=True, fail=False)
        return None if message is None else message.body


async def open_and_close(url: str, within: float = PATIENCE) -> None:
    """Open an AMQP connection, and close it. Both together take at most `within` seconds."""
    async with asyncio.timeout(within), await aio_pika.connect(url):
        pass


def test_a_restart_keeps_a_durable_queue(node: RabbitNode) -> None:
    """A confirmed message in a durable queue survives a restart."""
    asyncio.run(put(node.url, b"before the restart"))

    node.restart()

    assert asyncio.run(take(node.url)) == b"before the restart"


def test_a_killed_node_starts_again_on_its_data(node: RabbitNode) -> None:
    """A confirmed message in a durable queue survives SIGKILL."""
    asyncio.run(put(node.url, b"before the kill"))

    node.kill()
    node.start()

    assert asyncio.run(take(node.url)) == b"before the kill"


def test_a_virtual_host_is_apart(node: RabbitNode) -> None:
    """A message in one virtual host is not in another."""
    first, second = node.new_vhost(), node.new_vhost()

    asyncio.run(put(first, b"mine"))

    assert asyncio.run(take(second)) is None
    assert asyncio.run(take(first)) == b"mine"


def test_a_paused_node_does_not_answer(node: RabbitNode) -> None:
    """A paused node accepts no connection within a second; a resumed one does."""
    node.pause()
    try:
        with pytest.raises(TimeoutError):
            asyncio.run(open_and_close(node.url, within=1.0))
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


def test_the_error_of_a_command_has_the_output_of_rabbitmqctl(node: RabbitNode) -> None:
    """The error has the output of rabbitmqctl."""
    with pytest.raises(RabbitNodeError, match="no_such_host"):
        node.ctl("delete_vhost", "no_such_host")


def test_the_error_of_a_server_that_ends_at_once_has_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that cannot start leads to an error with the end of its log, and is removed."""
    server = tmp_path / "rabbitmq-server"
    server.write_text("#!/bin/sh\necho cannot find my Erlang\nexit 70\n")
    server.chmod(0o755)
    monkeypatch.setenv("RABBITMQ_SERVER", str(server))

    with pytest.raises(RabbitNodeError, match=r"ended with 70\ncannot find my Erlang"), RabbitNode():
        pass


def test_a_missing_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names a RABBITMQ_SERVER that does not exist."""
    monkeypatch.setenv("RABBITMQ_SERVER", "/no/such/rabbitmq-server")

    with pytest.raises(RabbitNodeError, match="/no/such/rabbitmq-server"):
        RabbitNode()


def test_a_given_broker_is_used_and_nothing_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """With TEST_AMQP_URL no node is started."""
    monkeypatch.setenv("RABBITMQ_SERVER", "/no/such/rabbitmq-server")
    monkeypatch.setenv("TEST_AMQP_URL", "amqp://elsewhere/")

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


SERVES_NOBODY = f"""\
#!{sys.executable}
import os, socket, subprocess
subprocess.Popen(["sleep", "60"], start_new_session=True)
with socket.create_server(("127.0.0.1", int(os.environ["RABBITMQ_NODE_PORT"]))) as listener:
    while True:
        listener.accept()[0].sendall(b"\\x01")
"""
"""A server that starts like RabbitMQ, with a daemon of its own, in a hundredth of the time."""


def start_elsewhere(then: str) -> tuple[subprocess.Popen[str], str]:
    """Start a node in another Python process, which then runs `then`; return the process and the node's directory."""
    command = [sys.executable, "-c", STARTS_A_NODE.format(then=then)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def assert_nothing_is_left(directory: str) -> None:
    """Wait, for at most 10 s, until the node has no process and no directory."""
    deadline = time.monotonic() + PATIENCE
    while marked_processes(directory) or Path(directory).exists():
        assert time.monotonic() < deadline, f"left: {directory}, processes {marked_processes(directory)}"
        time.sleep(0.02)


def test_remove_leaves_nothing() -> None:
    """After remove() the node, its epmd and its directory are gone; a second remove() does nothing."""
    node = RabbitNode()
    node.start()
    directory = str(node.directory)
    assert len(marked_processes(directory)) >= 2  # the node and its epmd: proves that the count works

    node.remove()
    node.remove()

    assert marked_processes(directory) == []
    assert not node.directory.exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_the_test_process_is_ended(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a signal ends the process that started the node, the node's processes and files are removed. They are found by
    their environment, so any server will do."""
    server = tmp_path / "rabbitmq-server"
    server.write_text(SERVES_NOBODY)
    server.chmod(0o755)
    monkeypatch.setenv("RABBITMQ_SERVER", str(server))
    process, directory = start_elsewhere("time.sleep(60)")
    assert len(marked_processes(directory)) == 2

    os.kill(process.pid, number)
    process.communicate()

    assert_nothing_is_left(directory)
