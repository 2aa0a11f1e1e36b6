"""`defer()` in a real web server: processes, threads, pre-fork, and a broker that cannot be reached. No worker runs:
the tests check that the broker has each event once."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from bridge.brokers.opening import open_broker
from bridge.brokers.rabbitmq.broker import RabbitBroker
from bridge.queues import Queue
from tests.limits import PATIENCE

PROCESSES, THREADS = 4, 8
REQUESTS = 400
BUDGET = 2.0
SLACK = 20.0
"""Seconds for which a busy machine may hold up a process."""

APP = """
    import os, time
    from pathlib import Path
    from flask import Flask
    from app_adapter import DeferError, DeferredEvents, defer

    app = Flask(__name__)
    events = DeferredEvents(app)

    if os.environ.get("DEFER_AT_IMPORT"):
        with open("ids at import", "a") as file:
            file.write(events.defer("order.imported") + "\\n")

    @app.post("/defer/<int:number>")
    def deferring(number):
        return {"pid": os.getpid(), "id": defer("order.paid", {"number": number})}

    @app.post("/try")
    def trying():
        began = time.monotonic()
        try:
            defer("order.paid")
            error = None
        except DeferError as raised:
            error = type(raised).__name__
        return {"error": error, "seconds": time.monotonic() - began}
"""


@contextmanager
def web_server(directory: Path, *options: str, **environment: str) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """Run gunicorn with the app; yield its port and process."""
    (directory / "shop.py").write_text(textwrap.dedent(APP))
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        command = [sys.executable, "-m", "gunicorn", "-b", f"fd://{listener.fileno()}", "-k", "gthread"]
        command += ["-w", str(PROCESSES), "--threads", str(THREADS), "--log-level", "warning", *options, "shop:app"]
        process = subprocess.Popen(
            command, cwd=directory, env=os.environ | environment, pass_fds=[listener.fileno()], start_new_session=True
        )
        port = listener.getsockname()[1]
    try:
        yield port, process
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def post(port: int, path: str) -> dict[str, object]:
    """Post to the app; return the JSON of the reply."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("POST", path)
        answer: dict[str, object] = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return answer


async def events_in(url: str, namespace: str, expected: int) -> Counter[str]:
    """Take all events out of the broker, at least `expected`; return the number of events with each id."""
    broker = open_broker(url, namespace)
    consumer = broker.consumer()
    await consumer.start({"default": 100})
    found: Counter[str] = Counter()
    async with asyncio.timeout(PATIENCE):
        while found.total() < expected:
            delivery = await consumer.receive()
            found[delivery.envelope.event.id] += 1
            await delivery.ack()
    # Further events would arrive at once, since no event has a delay.
    try:
        async with asyncio.timeout(0.5):
            while True:
                delivery = await consumer.receive()
                found[delivery.envelope.event.id] += 1
                await delivery.ack()
    except TimeoutError:
        await broker.close()
    return found


@pytest.fixture(params=["sqlite", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The URL and namespace of an empty broker."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/bridge.db", "bridge"
    else:
        url, namespace = request.getfixturevalue("rabbitmq_url"), f"t{uuid.uuid4().hex[:10]}"
        yield url, namespace
        asyncio.run(RabbitBroker.from_url(url, namespace).remove([Queue("default")]))


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["fork first", "import first"])
def test_every_deferred_event_is_in_the_broker_once(
    tmp_path: Path, broker: tuple[str, str], options: tuple[str, ...]
) -> None:
    """The broker has each event of all threads of all processes once, also if the app was imported and had deferred
    before the fork."""
    url, namespace = broker
    environment = {"BRIDGE_BROKER_URL": url, "BRIDGE_NAMESPACE": namespace, "BRIDGE_PUBLISH_TIMEOUT": "60s"}

    with (
        web_server(tmp_path, *options, **environment, DEFER_AT_IMPORT="1") as (port, _),
        ThreadPoolExecutor(PROCESSES * THREADS) as clients,
    ):
        answers = list(clients.map(lambda number: post(port, f"/defer/{number}"), range(REQUESTS)))

    at_import = (tmp_path / "ids at import").read_text().split()
    expected = [*(str(answer["id"]) for answer in answers), *at_import]
    assert asyncio.run(events_in(url, namespace, len(expected))) == Counter(expected)
    assert len({answer["pid"] for answer in answers}) > 1
    assert len(at_import) == (1 if options else PROCESSES)


@pytest.fixture
def silent_url() -> Iterator[str]:
    """The URL of a broker that accepts connections and never sends a byte."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"amqp://127.0.0.1:{listener.getsockname()[1]}/"


@pytest.fixture
def refusing_url() -> str:
    """The URL of a port that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return f"amqp://127.0.0.1:{port}/"


@pytest.fixture(params=["silent", "refusing", "missing"])
def away(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a broker that cannot be reached, in three variants."""
    if request.param == "missing":
        return f"sqlite:///{tmp_path}/no/such/directory/bridge.db"
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


def test_a_broker_that_is_away_holds_no_request(tmp_path: Path, away: str) -> None:
    """`defer()` raises at its timeout in every thread, and the server stops. Both would otherwise take half a minute or
    more."""
    with web_server(tmp_path, BRIDGE_BROKER_URL=away) as (port, process):
        with ThreadPoolExecutor(PROCESSES * THREADS) as clients:
            answers = list(clients.map(lambda _: post(port, "/try"), range(PROCESSES * THREADS)))
        began = time.monotonic()
        process.terminate()
        process.wait(PATIENCE)
        stopping = time.monotonic() - began

    assert {answer["error"] for answer in answers} == {"DeferUnavailable"}
    assert max(float(str(answer["seconds"])) for answer in answers) < BUDGET + SLACK
    assert stopping < SLACK


SCRIPT = """
    import time
    from shop import events
    from app_adapter import BrokerUnavailable
    began = time.monotonic()
    try:
        events.defer("order.paid")
    except BrokerUnavailable:
        print(time.monotonic() - began, time.monotonic(), flush=True)
"""


def test_a_broker_that_is_away_holds_no_exit(tmp_path: Path, away: str) -> None:
    """The interpreter exits soon after `defer()` has raised, and prints nothing to stderr."""
    (tmp_path / "shop.py").write_text(textwrap.dedent(APP))
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT)]

    ended = subprocess.run(
        command,
        check=True,
        cwd=tmp_path,
        env=os.environ | {"BRIDGE_BROKER_URL": away},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    now = time.monotonic()

    seconds, raised = map(float, ended.stdout.split())
    assert ended.stderr == ""
    assert seconds < BUDGET + SLACK
    assert now - raised < SLACK
