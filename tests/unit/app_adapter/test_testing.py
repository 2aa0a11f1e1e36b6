"""The recording, for an app's own tests without a broker."""

import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask

from app_adapter import DeferError, Event, EventFailed, InvalidName, Reject, Retry, Unroutable, cancel, defer
from bridge.outcome import Failed, Outcome, Rejected, Succeeded
from tests.unit.app_adapter.replays import Shop


def test_deferred_events_are_recorded() -> None:
    """A recording is a sequence: name, payload, delay, in order."""
    shop = Shop()
    at = datetime(2090, 1, 1, tzinfo=UTC)

    with shop.events.testing() as deferred:
        first = shop.events.defer("order.paid", {"id": 17}, delay=60)
        shop.events.defer("order.sent", b"\xff", at=at)

    assert len(deferred) == 2
    assert [one.name for one in deferred] == ["order.paid", "order.sent"]
    assert (deferred[0].id, deferred[0].payload, deferred[0].delay) == (first, {"id": 17}, 60)
    assert (deferred[-1].payload, deferred[-1].at) == (b"\xff", at)


def test_replay_runs_the_listeners_through_the_real_receiver() -> None:
    """The outcomes are in the order of the events."""
    shop = Shop()
    shop.listens()
    shop.events.on("bad.payload", name="bad")(lambda event: 1 / 0)

    with shop.events.testing() as deferred:
        shop.events.defer("order.paid", delay=timedelta(days=1))
        shop.events.defer("bad.payload")
        outcomes = deferred.replay(check=False)

    assert outcomes[0] == Succeeded()
    assert isinstance(outcomes[1], Failed)
    assert outcomes[1].error.type == "ZeroDivisionError"
    assert [event.id for event in shop.received] == [deferred[0].id]


@pytest.mark.parametrize(
    ("raised", "kind", "why"),
    [
        (
            ValueError("broken"),
            Failed,
            "'order.paid' from the queue 'default' was not delivered, but Failed: ValueError: ",
        ),
        (Reject("no"), Rejected, "but Rejected: Reject: no"),
        (Retry(after=5), Failed, "but Failed: Retry: the listener asked for a retry"),
        (SystemExit(3), Failed, "but Failed: SystemExit: 3"),
    ],
)
def test_a_listener_that_fails_fails_the_test(raised: BaseException, kind: type[Outcome], why: str) -> None:
    """`replay()` raises, unless the test looks at the outcomes."""
    shop = Shop()
    shop.listens(raising=raised)

    with shop.events.testing() as deferred:
        shop.events.defer("order.paid")
        with pytest.raises(EventFailed, match=re.escape(why)):
            deferred.replay()
        with pytest.raises(AssertionError, match=re.escape(why)):
            deferred[0].replay()
        (outcome,) = deferred[0].replay(check=False)

    assert isinstance(outcome, kind)


def test_the_error_has_the_listeners_traceback_and_all_outcomes() -> None:
    """All events are replayed before `replay()` raises."""
    shop = Shop()
    shop.events.on("bad.payload", name="bad")(lambda event: 1 / 0)
    shop.listens()

    with shop.events.testing() as deferred:
        shop.events.defer("bad.payload")
        shop.events.defer("order.paid")
        with pytest.raises(EventFailed) as raised:
            deferred.replay()

    assert f'File "{__file__}"' in str(raised.value)
    assert [type(outcome) for outcome in raised.value.outcomes] == [Failed, Succeeded]
    assert len(shop.received) == 1


def test_an_event_without_a_listener_fails_the_test() -> None:
    """In production it would fail too."""
    shop = Shop()

    with shop.events.testing() as deferred:
        shop.events.defer("order.paid")
        with pytest.raises(EventFailed, match=r"no listener for 'order\.paid'"):
            deferred.replay()


def test_an_answer_in_the_receivers_place_fails_the_test() -> None:
    """A login wall that catches replays is found by the app's own tests."""
    shop = Shop()
    shop.listens()
    shop.app.before_request(lambda: ("log in first", 401))

    with shop.events.testing() as deferred:
        shop.events.defer("order.paid")
        with pytest.raises(EventFailed, match=r"the app answered instead of the receiver: status 401"):
            deferred.replay()


@pytest.mark.parametrize("call", [lambda shop: shop.events.defer("order.paid"), lambda shop: defer("order.paid")])
def test_an_app_under_test_reaches_no_broker(call: Callable[[Shop], str], tmp_path: Path) -> None:
    """`defer()` outside of a recording raises, and says what to do."""
    shop = Shop(config={"TESTING": True, "BRIDGE_BROKER_URL": f"sqlite:///{tmp_path}/bridge.db"})

    with (
        shop.app.app_context(),
        pytest.raises(DeferError, match=r"TESTING set.*events\.testing\(\).*`deferred_events`"),
    ):
        call(shop)
    with shop.app.app_context(), shop.events.testing() as deferred:
        call(shop)

    assert len(deferred) == 1
    assert list(tmp_path.iterdir()) == []


def test_an_app_under_test_refuses_a_wrong_event_as_ever() -> None:
    """The error for a wrong name or payload comes first."""
    shop = Shop(config={"TESTING": True})

    with pytest.raises(InvalidName):
        shop.events.defer("not a name")


def test_an_app_that_is_not_under_test_publishes(tmp_path: Path) -> None:
    """A test that needs a broker does not set TESTING."""
    shop = Shop(config={"BRIDGE_BROKER_URL": f"sqlite:///{tmp_path}/bridge.db"})

    shop.events.defer("order.paid")

    assert (tmp_path / "bridge.db").exists()


def test_an_event_is_replayed_once() -> None:
    """A second `replay()` takes only newer events, including the events that a listener has deferred."""
    shop = Shop()
    shop.events.on("order.paid", name="chain")(lambda event: shop.events.defer("order.sent"))
    shop.listens()

    with shop.events.testing() as deferred:
        shop.events.defer("order.paid")
        counts = [len(deferred.replay()) for _ in range(3)]

    assert counts == [1, 1, 0]
    assert [one.name for one in deferred] == ["order.paid", "order.sent"]


def test_an_event_is_replayed_once_for_each_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker would put a copy into each queue."""
    monkeypatch.chdir(tmp_path)
    Path("bridge.toml").write_text("[queues.mail]\npatterns = ['order.#']\n[queues.audit]\npatterns = ['#']")
    shop = Shop()
    shop.listens()

    with shop.events.testing() as deferred:
        shop.events.defer("order.paid")
        deferred.replay()

    assert [event.queue for event in shop.received] == ["mail", "audit"]


def test_threads_record_too() -> None:
    """The recording holds in every thread."""
    shop = Shop()

    with shop.events.testing() as deferred:
        threads = [threading.Thread(target=shop.events.defer, args=("order.paid", at)) for at in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert sorted(one.payload for one in deferred) == list(range(8))


def test_arguments_are_checked() -> None:
    """The recording refuses what `defer()` refuses."""
    shop = Shop()

    with shop.events.testing() as deferred, pytest.raises(InvalidName):
        shop.events.defer("not a name")
    assert len(deferred) == 0


def test_the_mode_ends_with_its_block() -> None:
    """After an inner recording the outer one goes on, and after that none, even after an error."""
    shop = Shop()

    with shop.events.testing() as outer:
        with pytest.raises(RuntimeError), shop.events.testing() as inner:
            shop.events.defer("order.paid")
            raise RuntimeError
        shop.events.defer("order.sent")

    assert ([one.name for one in inner], [one.name for one in outer]) == (["order.paid"], ["order.sent"])
    assert shop.events.recording is None


def test_replay_works_in_a_request_of_the_test() -> None:
    """A context that the test holds open does not change."""
    app = Flask("shop")
    shop = Shop(app)
    seen: list[Event] = shop.received
    shop.listens()

    with shop.events.testing() as deferred, app.test_request_context("/"):
        shop.events.defer("order.paid")
        outcomes = deferred.replay()

    assert outcomes == [Succeeded()]
    assert len(seen) == 1


def test_an_internal_event_is_recorded_for_the_queues_that_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is replayed as any other; without such a queue, and for another name, it is refused."""
    (tmp_path / "bridge.toml").write_text('[queues.default]\n[queues.alerts]\npatterns = ["bridge.dead_letter.#"]\n')
    monkeypatch.chdir(tmp_path)
    shop = Shop()
    shop.events.on("bridge.#", name="alert")(shop.received.append)

    with shop.events.testing() as deferred:
        deferred.internal(shop.app, "bridge.dead_letter.rejected", {"id": "7"})
        deferred.replay()
        with pytest.raises(Unroutable, match=r"no queue takes 'bridge\.child\.lost'"):
            deferred.internal(shop.app, "bridge.child.lost", {})
        with pytest.raises(InvalidName, match=r"begins with 'bridge\.'"):
            deferred.internal(shop.app, "order.paid", {})

    assert [(event.name, event.queue, event.payload) for event in shop.received] == [
        ("bridge.dead_letter.rejected", "alerts", {"id": "7"})
    ]


def test_a_cancelled_event_is_not_replayed() -> None:
    """The other events are. An event that was replayed already cannot be cancelled."""
    shop = Shop()
    shop.listens()
    with shop.events.testing() as deferred:
        first, second, third = (shop.events.defer("order.paid") for _ in range(3))
        shop.events.cancel(second, why="withdrawn")
        with shop.app.app_context():
            cancel(third)
        deferred.replay()
        shop.events.cancel(first)

    assert [event.id for event in shop.received] == [first]


@pytest.mark.parametrize("event_id", ["", "not an id", None, "\n"])
def test_a_wrong_id_cannot_be_cancelled(event_id: str) -> None:
    """The error quotes it."""
    shop = Shop()

    with shop.events.testing(), pytest.raises(DeferError, match="expected an id, as defer\\(\\) returns it"):
        shop.events.cancel(event_id)


def test_with_testing_nothing_is_cancelled_on_a_broker() -> None:
    """The error says how to cancel in a test."""
    shop = Shop()
    shop.app.testing = True

    with pytest.raises(DeferError, match="has TESTING set"):
        shop.events.cancel("an-id")
