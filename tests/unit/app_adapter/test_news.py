"""The news of a listener about its event: what is sent, how seldom, and what is refused."""

import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app_adapter import Event
from app_adapter import news as news_module
from app_adapter.listener_api import NEWS
from app_adapter.news import News
from bridge.child_protocol import Extend, Extended, Progress, read_news, write_extended
from tests.limits import PATIENCE
from tests.unit.app_adapter.children import Child
from tests.unit.app_adapter.replays import ID, Shop
from tests.unit.app_adapter.test_idle import Clock


@pytest.fixture
def worker() -> Iterator[tuple[News, socket.socket, Clock]]:
    """Return the child's news, the worker's end, and the clock of the news."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    clock = Clock()
    yield News(theirs, clock), ours, clock
    ours.close()
    theirs.close()


def told(sock: socket.socket) -> list[Progress | Extend | None]:
    """Return the news that have been sent."""
    found = []
    while True:
        try:
            found.append(read_news(sock.recv(4096)))
        except BlockingIOError:
            return found


def test_progress_is_sent_four_times_a_second(worker: tuple[News, socket.socket, Clock]) -> None:
    """The first one of an event is sent at once, and so is the first that is complete."""
    news, sock, clock = worker

    for number in range(100_001):
        clock.now = number / 200_000  # half a second
        news.progress("e1", number, 100_000, "x" * 300)
    for _ in range(1000):
        news.progress("e1", 100_000, 100_000, "")
    news.progress("e2", 1, None, "")

    sent = told(sock)
    assert [(each.id, each.done) for each in sent if isinstance(each, Progress)] == [
        ("e1", 0),
        ("e1", 50_000),
        ("e1", 100_000),
        ("e2", 1),
    ]
    assert isinstance(sent[0], Progress)
    assert sent[0].note == "x" * 200


def test_progress_never_waits(worker: tuple[News, socket.socket, Clock]) -> None:
    """A worker that does not read, and one that has gone, cost nothing."""
    news, sock, clock = worker
    for number in range(5000):
        clock.now = number
        news.progress("e1", number, None, "x" * 200)
    sock.close()
    news.progress("e2", 1, 2, "")
    assert news.extend("e2", 5.0) is False


def test_an_extension_has_the_answer_of_its_own_request(worker: tuple[News, socket.socket, Clock]) -> None:
    """A late answer to an earlier request is not taken for it."""
    news, sock, _ = worker
    sock.setblocking(True)

    def answer() -> None:
        request = read_news(sock.recv(4096))
        assert request == Extend("e1", 1, 30.0)
        sock.send(b"nonsense")
        sock.send(write_extended(Extended(0, granted=False)))
        sock.send(write_extended(Extended(1, granted=True)))

    thread = threading.Thread(target=answer)
    thread.start()
    assert news.extend("e1", 30.0) is True
    thread.join(PATIENCE)


def test_without_an_answer_an_extension_is_denied(
    worker: tuple[News, socket.socket, Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listener goes on after a bounded wait."""
    monkeypatch.setattr(news_module, "ANSWER_WITHIN", 0.05)
    assert worker[0].extend("e1", 30.0) is False


def test_a_listener_tells_of_its_event(worker: tuple[News, socket.socket, Clock]) -> None:
    """With the id of its event. Elsewhere than in a child of a worker, nothing is sent and nothing is granted."""
    news, sock, _ = worker
    shop = Shop()
    granted: list[bool] = []

    @shop.events.on("order.#")
    def listen(event: Event) -> None:
        event.progress(3, 10, "resizing")
        if event.attempt == 2:
            granted.append(event.extend("30s"))

    in_child: dict[str, Any] = {NEWS: news}
    assert shop.replay(**in_child).verdict.kind == "delivered"
    assert shop.replay(BRIDGE_ATTEMPT="2").verdict.kind == "delivered"
    assert told(sock) == [Progress(ID, 3, 10, "resizing")]
    assert granted == [False]


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (("3", 10), TypeError, r"progress\(done='3'\): expected a number"),
        ((True,), TypeError, "done=True"),
        ((None,), TypeError, "done=None"),
        ((3, "10"), TypeError, r"total='10'"),
        ((float("nan"),), ValueError, "done=nan"),
        ((1, 10**400), ValueError, "total=1000"),
        ((1, 2, 3), TypeError, r"note=3\): expected a text"),
    ],
)
def test_a_progress_that_cannot_be_told_is_refused(
    arguments: tuple[Any, ...], error: type[Exception], says: str
) -> None:
    """In a test of the app too, where nothing is sent."""
    with pytest.raises(error, match=says):
        an_event().progress(*arguments)


@pytest.mark.parametrize(
    ("time", "error"),
    [
        ("soon", ValueError),
        (0, ValueError),
        (-1, ValueError),
        (float("inf"), ValueError),
        (timedelta(0), ValueError),
        (None, TypeError),
        (True, TypeError),
    ],
)
def test_an_extension_that_is_no_time_is_refused(time: Any, error: type[Exception]) -> None:
    """The message has the value."""
    with pytest.raises(error, match=r"extend\("):
        an_event().extend(time)


def an_event() -> Event:
    """Return an event outside a child."""
    shop = Shop()
    shop.listens()
    shop.replay()
    return shop.received[0]


TELLING = """
    import os, time
    from flask import Flask
    from app_adapter import DeferredEvents

    app = Flask(__name__)
    events = DeferredEvents(app)

    @events.on("order.#")
    def listener(event):
        if os.fork() == 0:
            event.progress(9, 9, "of a copy")
            os._exit(event.extend(5))
        assert os.wait()[1] == 0
        event.progress(1, 2, "half")
        assert not event.extend(0.5)
"""


def test_a_forked_copy_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would speak of an event that is its parent's."""
    with Child(tmp_path, TELLING) as child:
        child.send()
        assert read_news(child.news.recv(4096)) == Progress("the-id", 1, 2, "half")
        request = read_news(child.news.recv(4096))
        assert isinstance(request, Extend)
        child.news.send(write_extended(Extended(request.number, granted=False)))
        assert child.receive().outcome == "delivered"
