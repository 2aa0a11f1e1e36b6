"""`mailbox()` in synchronous code, in threads and in forked processes, and `bridge-mailbox`, on both brokers."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask

from app_adapter import DeferError, DeferredEvents, DeliveryLost, InvalidPayload, MailboxEmpty, TooLarge, mailbox
from app_adapter.mailbox import Mailbox
from bridge.errors import DeferUnavailable
from bridge.handling import Priority
from tests.limits import PATIENCE
from tests.ports import free_port

FORKING = """
import os, sys
from flask import Flask
from deferred_event_bridge import DeferredEvents

app = Flask(__name__)
app.config.update(BRIDGE_BROKER_URL=sys.argv[1], BRIDGE_NAMESPACE=sys.argv[2], BRIDGE_PUBLISH_TIMEOUT="60s")
box = DeferredEvents(app).mailbox("q1")
box.put(b"from the parent")
children = []
for number in range(3):
    pid = os.fork()
    if pid == 0:
        box.put(b"from child %d" % number)
        with box.get(timeout=120):
            pass
        box.put(b"child %d again" % number)
        sys.exit(0)
    children.append(pid)
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
count = 0
with box.get(timeout=120) as message:
    pid = os.fork()
    if pid == 0:
        try:
            raise ValueError("a forked copy of the block must not give the message back")
        finally:
            pass
if pid == 0:
    os._exit(9)
os.waitpid(pid, 0)
count = 1
try:
    while True:
        with box.get():
            count += 1
except Exception as error:
    print(codes, count, type(error).__name__)
"""


@pytest.fixture(params=["sqlite", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """The URL of a broker, and an unused namespace."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/bridge.db", "bridge"
    return request.getfixturevalue("rabbitmq_url"), f"box{uuid.uuid4().hex[:8]}"


@pytest.fixture
def app(place: tuple[str, str]) -> Flask:
    """An app on that broker."""
    url, namespace = place
    app = Flask("shop")
    app.config.update(BRIDGE_BROKER_URL=url, BRIDGE_NAMESPACE=namespace, BRIDGE_PUBLISH_TIMEOUT="60s")
    DeferredEvents(app)
    return app


@pytest.fixture
def box(app: Flask) -> Iterator[Mailbox]:
    """The mailbox q1 of the app, in an app context."""
    with app.app_context():
        yield mailbox("q1")


def test_a_block_acknowledges_at_its_end(box: Mailbox) -> None:
    """The message is there in the block, and gone after it."""
    box.put(b"one", priority="high")

    with box.get(timeout=PATIENCE) as message:
        assert (message.body, message.priority, message.redelivered) == (b"one", Priority.HIGH, False)

    with pytest.raises(MailboxEmpty, match="no message came to mailbox 'q1' within 0 s"), box.get():
        pytest.fail("it came again")


def test_an_exception_gives_it_back(box: Mailbox) -> None:
    """The exception passes through, and the next fetch gets the message."""
    box.put(b"one")

    with pytest.raises(ZeroDivisionError), box.get(timeout=PATIENCE):
        raise ZeroDivisionError

    with box.get(timeout=PATIENCE) as message:
        assert (message.body, message.redelivered) == (b"one", True)


def test_threads_share_a_mailbox(box: Mailbox) -> None:
    """Each message is fetched by one thread."""
    bodies = [b"%d" % number for number in range(40)]

    got: list[bytes] = []
    end = time.monotonic() + PATIENCE

    def work(_: int) -> None:
        while len(got) < len(bodies) and time.monotonic() < end:
            with suppress(MailboxEmpty), box.get(timeout=0.5) as message:
                got.append(message.body)

    with ThreadPoolExecutor(8) as threads:
        working = [threads.submit(work, number) for number in range(4)]
        list(threads.map(box.put, bodies))
    for each in working:
        each.result()
    assert sorted(got) == sorted(bodies)


def test_a_signal_that_interrupts_the_wait_loses_nothing(box: Mailbox) -> None:
    """A signal handler raises in the middle of a fetch that waits: a message that comes later is not lost."""

    class Interrupted(Exception):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for seconds in (0.05, 0.3):
            signal.setitimer(signal.ITIMER_REAL, seconds)
            with pytest.raises(Interrupted), box.get(timeout=PATIENCE):
                pytest.fail("nothing was put")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    box.put(b"one")
    with box.get(timeout=PATIENCE) as message:
        assert message.body == b"one"


def test_forked_processes_use_it(place: tuple[str, str]) -> None:
    """Each process has a connection of its own; a forked copy of a block settles nothing."""
    done = subprocess.run(
        [sys.executable, "-c", FORKING, *place], capture_output=True, text=True, timeout=PATIENCE, check=False
    )

    assert done.stdout == "[0, 0, 0] 4 MailboxEmpty\n", done.stderr


def program(place: tuple[str, str], *words: str, data: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    """Run `bridge-mailbox`."""
    url, namespace = place
    command = [sys.executable, "-c", "from app_adapter.mailbox_cli import main; main()"]
    environment = os.environ | {
        "BRIDGE_BROKER_URL": url,
        "BRIDGE_NAMESPACE": namespace,
        "BRIDGE_PUBLISH_TIMEOUT": "60s",
    }
    return subprocess.run(
        [*command, *words], input=data, capture_output=True, env=environment, timeout=PATIENCE, check=False
    )


def test_a_shell_puts_and_gets(box: Mailbox, place: tuple[str, str]) -> None:
    """Bytes pass unchanged, and a command that fails gives the message back."""
    box.put(b"low", priority="low")
    data = os.urandom(200_000)

    assert program(place, "put", "q1", "--priority", "high", "--data-file", "-", data=data).returncode == 0
    failed = program(place, "get", "q1", "--timeout", "120", "--", "sh", "-c", "cat >/dev/null; exit 3")
    assert (failed.returncode, failed.stdout) == (1, b"")
    assert b"sh ended with code 3; the message returns" in failed.stderr
    got = program(place, "get", "q1", "--timeout", "120", "--", "cat")
    assert (got.returncode, got.stdout) == (0, data)
    as_json = program(place, "get", "q1", "--json")
    assert json.loads(as_json.stdout) == {"base64": "bG93", "priority": "low", "redelivered": False}
    empty = program(place, "get", "q1")
    assert (empty.returncode, empty.stdout) == (1, b"")


@pytest.mark.parametrize(
    ("body", "error"), [("text", InvalidPayload), (None, InvalidPayload), (b"x" * 2_000_000, TooLarge)]
)
def test_what_is_no_message_is_refused(box: Mailbox, body: object, error: type[DeferError]) -> None:
    """A text, nothing, and more than `max_body`; the mailbox stays empty."""
    with pytest.raises(error):
        box.put(body)  # type: ignore[arg-type]
    with pytest.raises(MailboxEmpty), box.get():
        pass


@pytest.mark.parametrize("timeout", ["200000d", timedelta(days=36_501), 1e30, 10**30])
def test_a_timeout_that_no_clock_can_wait_for(tmp_path: Path, timeout: str | timedelta | float) -> None:
    """The error names the longest one, also in a test of the app, which can wait for that one."""
    app = Flask("shop")
    app.config["BRIDGE_BROKER_URL"] = f"sqlite:///{tmp_path}/bridge.db"
    events = DeferredEvents(app)
    box = events.mailbox("q1")
    box.put(b"one")

    with pytest.raises(DeferError, match=r"timeout=.*: expected a time of at most 36500d"), box.get(timeout=timeout):
        pass
    with box.get(timeout="36500d") as message:
        assert message.body == b"one"
    with events.testing():
        box.put(b"two")
        with pytest.raises(DeferError, match="at most 36500d"), box.get(timeout=timeout):
            pass
        with box.get(timeout="36500d") as message:
            assert message.body == b"two"


def test_a_shell_is_told_of_the_longest_timeout(tmp_path: Path) -> None:
    """As wrong usage."""
    refused = program((f"sqlite:///{tmp_path}/bridge.db", "shop"), "get", "q1", "--timeout", "200000d")
    assert refused.returncode == 2
    assert b"'200000d': expected a time from 0 to 36500d" in refused.stderr


@pytest.mark.parametrize("name", ["", "a.b", "q 1", "ä", "q" * 61, 7, None])
def test_a_name_that_is_none(name: object, tmp_path: Path) -> None:
    """The error has the name and what was expected."""
    app = Flask("shop")
    app.config["BRIDGE_BROKER_URL"] = f"sqlite:///{tmp_path}/bridge.db"
    events = DeferredEvents(app)

    with pytest.raises(DeferError, match=r"mailbox .*: expected a name of A-Z a-z 0-9 _ -"):
        events.mailbox(name)  # type: ignore[arg-type]


@pytest.mark.rabbitmq
def test_a_broker_that_is_away_is_told_in_time(tmp_path: Path) -> None:
    """Put and get raise within `publish_timeout`, also with publish = "spool", which spools no messages."""
    app = Flask("shop")
    app.config.update(
        BRIDGE_BROKER_URL=f"amqp://127.0.0.1:{free_port()}/",
        BRIDGE_PUBLISH_TIMEOUT="1s",
        BRIDGE_PUBLISH="spool",
        BRIDGE_SPOOL=str(tmp_path / "spool.db"),
    )
    box = DeferredEvents(app).mailbox("q1")
    began = time.monotonic()

    with pytest.raises(DeferUnavailable):
        box.put(b"one")
    with pytest.raises(DeferUnavailable), box.get():
        pass

    assert time.monotonic() - began < 30


def test_a_test_has_mailboxes_of_its_own(tmp_path: Path) -> None:
    """In `events.testing()` messages stay in memory; outside of it an app with TESTING refuses."""
    app = Flask("shop")
    app.testing = True
    app.config["BRIDGE_BROKER_URL"] = f"sqlite:///{tmp_path}/bridge.db"
    events = DeferredEvents(app)
    box = events.mailbox("q1")

    with events.testing() as recording:
        box.put(b"normal")
        box.put(b"high", priority="high")
        assert recording.mailboxes.bodies("q1") == [b"high", b"normal"]
        with pytest.raises(ZeroDivisionError), box.get() as message:
            assert message.body == b"high"
            raise ZeroDivisionError
        with box.get(timeout=PATIENCE):
            threading.Thread(target=box.put, args=(b"later",)).start()
        for body in (b"normal", b"later"):
            with box.get(timeout=PATIENCE) as message:
                assert message.body == body
        with pytest.raises(MailboxEmpty), box.get():
            pass
    with pytest.raises(DeferError, match="TESTING set, so mailbox 'q1' is not used"):
        box.put(b"one")
    assert not (tmp_path / "bridge.db").exists()


def test_who_loses_its_message_is_told(tmp_path: Path) -> None:
    """SQLite: the file is removed in the middle of a block. (The contract tests cut a connection to RabbitMQ.)"""
    app = Flask("shop")
    app.config["BRIDGE_BROKER_URL"] = f"sqlite:///{tmp_path}/bridge.db"
    box = DeferredEvents(app).mailbox("q1")
    box.put(b"one")

    with pytest.raises(DeliveryLost), box.get(timeout=PATIENCE):
        (tmp_path / "bridge.db").unlink()
