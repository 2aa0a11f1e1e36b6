"""Deferring from an app: keys that keep duplicates out, and many events with one round of confirms."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app_adapter import (
    DeferError,
    Deferral,
    DeferredEvents,
    DeferUnavailable,
    DuplicateEvent,
    InvalidName,
    NotAllDeferred,
    Unroutable,
    defer,
    defer_many,
    fork_safe_publishing,
)
from bridge.moments import Deferred, Moment
from bridge.publishing.lazy_publisher import LazyPublisher

FIRST: dict[str, Any] = {"key": "order-17", "within": "10m"}


@pytest.fixture
def events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeferredEvents]:
    """An extension whose app has an SQLite broker of its own, and a queue for `order.#` alone."""
    monkeypatch.chdir(tmp_path)
    Path("bridge.toml").write_text('[queues.orders]\npatterns = ["order.#"]\n')
    app = Flask("shop")
    yield DeferredEvents(app)


@pytest.mark.parametrize("recorded", [False, True])
def test_a_second_event_with_the_key_returns_the_id_of_the_first(events: DeferredEvents, recorded: bool) -> None:
    """Or it raises, if that was asked for. A test's recording does the same."""

    def check() -> None:
        first = events.defer("order.paid", **FIRST)
        assert events.defer("order.paid", **FIRST) == first
        assert events.defer("order.paid", key="order-17") != first
        assert events.defer("order.sent", **FIRST) != first
        with pytest.raises(DuplicateEvent, match=f"{first} has its key 'order-17' already") as caught:
            events.defer("order.paid", on_duplicate="raise", **FIRST)
        assert caught.value.event_id == first

    if recorded:
        with events.testing() as deferred:
            check()
        assert [event.name for event in deferred] == ["order.paid", "order.paid", "order.sent"]
    else:
        check()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"within": 5}, "within=5: expected a key, such as key='order-17'"),
        ({"within": 0, "key": "k"}, "within=0: expected a time above 0"),
        ({"within": "soon", "key": "k"}, "within='soon': expected a time such as"),
        ({"on_duplicate": "skip", **FIRST}, "on_duplicate='skip': expected 'return' or 'raise'"),
        ({"on_duplicate": "raise"}, "on_duplicate='raise': expected a key and a within"),
    ],
)
def test_a_wrong_use_of_keys_is_refused(events: DeferredEvents, arguments: dict[str, Any], why: str) -> None:
    """The error names the argument, its value and what was expected."""
    with events.testing(), pytest.raises(DeferError, match=why):
        events.defer("order.paid", **arguments)


def test_rabbitmq_knows_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error comes at once, whether RabbitMQ can be reached or not. A key without `within` is only a name."""
    app = Flask("shop")
    app.config["BRIDGE_BROKER_URL"] = "amqp://127.0.0.1:1/"
    with pytest.raises(DeferError, match=r"within=0:10:00: expected a broker that remembers keys") as caught:
        DeferredEvents(app).defer("order.paid", **FIRST)
    assert not isinstance(caught.value, DeferUnavailable)


def test_many_events_are_deferred_in_order(events: DeferredEvents) -> None:
    """`defer_many()` takes names with payloads, and `Deferral`s. A watcher is told of each event."""
    moments: list[Moment] = []
    app = Flask("shop")
    app.config["BRIDGE_PUBLISH_TIMEOUT"] = "60s"
    events = DeferredEvents(app, watchers=[moments.append])

    first, *others = events.defer_many(
        [("order.paid", 0), Deferral("order.paid", 1, delay=60), *(("order.paid", number) for number in range(2, 1500))]
    )

    assert [moment.event.id for moment in moments if isinstance(moment, Deferred)] == [first, *others]
    assert [int(moment.event.data) for moment in moments if isinstance(moment, Deferred)] == list(range(1500))
    delayed = moments[1]
    assert isinstance(delayed, Deferred)
    assert delayed.due == delayed.event.time + timedelta(seconds=60)
    assert events.defer_many([]) == []


def test_in_a_recording_many_events_are_recorded(events: DeferredEvents) -> None:
    """`defer_many()` is a function of the current app too."""
    with events.testing() as deferred, events._state().app.app_context():
        ids = defer_many([("order.paid", {"id": 17}), ("order.sent", None)])
        defer("order.paid")

    assert [event.id for event in deferred][:2] == ids


@pytest.mark.parametrize(
    ("wrong", "kind", "why"),
    [
        (("order..paid", None), InvalidName, r"event 1 of defer_many\(\): event name .*; nothing was published"),
        (Deferral("order.paid", delay=-1), DeferError, r"event 1 of defer_many\(\): delay=-1: .*; nothing was"),
        ("order.paid", DeferError, r"event 1 of defer_many\(\)='order.paid': expected \(name, payload\) or a Deferral"),
        (("order.paid",), DeferError, r"expected \(name, payload\) or a Deferral; nothing was published"),
    ],
)
def test_a_wrong_event_among_many_keeps_all_back(
    events: DeferredEvents, wrong: Any, kind: type[DeferError], why: str
) -> None:
    """The error names the event, and nothing was published."""
    with events.testing() as deferred, pytest.raises(kind, match=why):
        events.defer_many([("order.paid", None), wrong])
    assert len(deferred) == 0


def test_under_test_many_events_need_a_recording() -> None:
    """The error is that of `defer()`."""
    app = Flask("shop")
    app.testing = True
    with pytest.raises(DeferError, match="has TESTING set") as caught:
        DeferredEvents(app).defer_many([("order.paid", None)])
    assert not isinstance(caught.value, NotAllDeferred)


@pytest.mark.parametrize("recorded", [False, True])
def test_an_error_says_which_of_many_events_were_not_deferred(events: DeferredEvents, recorded: bool) -> None:
    """The others were. A duplicate is no error, unless it was asked for."""
    given: list[tuple[str, Any] | Deferral] = [
        Deferral("order.paid", **FIRST),
        ("mail.sent", None),
        Deferral("order.paid", **FIRST),
        Deferral("order.paid", on_duplicate="raise", **FIRST),
    ]

    def check() -> None:
        with pytest.raises(NotAllDeferred, match=r"^2 of 4 events were not deferred; event 1: .*no queue") as caught:
            events.defer_many(given)
        first, second, third, fourth = caught.value.ids
        assert (first, second, fourth) == (third, None, None)
        assert {at: type(error) for at, error in caught.value.errors.items()} == {1: Unroutable, 3: DuplicateEvent}

    if recorded:
        with events.testing():
            check()
    else:
        check()


def test_after_a_batch_with_an_error_the_others_are_not_tried(
    events: DeferredEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that is away costs one `publish_timeout`, not one for each batch."""
    monkeypatch.setattr(fork_safe_publishing, "BATCH", 2)
    tried: list[object] = []

    async def refuse(_: object, event: object, *__: object, **___: object) -> None:
        tried.append(event)
        raise Unroutable("no")

    monkeypatch.setattr(LazyPublisher, "publish", refuse)
    with pytest.raises(NotAllDeferred) as caught:
        events.defer_many([("order.paid", number) for number in range(5)])

    assert len(tried) == 2
    assert [str(error).partition(",")[0] for error in caught.value.errors.values()] == ["no"] * 2 + ["not tried"] * 3


def test_a_session_without_sqlalchemy_names_the_extra() -> None:
    """A plain install has no SQLAlchemy."""
    code = (
        "import sys; sys.modules['sqlalchemy'] = None\nfrom flask import Flask\n"
        "from deferred_event_bridge import DeferredEvents\nevents = DeferredEvents(app := Flask('shop'))\n"
        "events.defer('a.b', session=object())"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert "DeferError: an outbox needs SQLAlchemy 2: pip install 'deferred-event-bridge[sqlalchemy]'" in done.stderr
