"""The testing mode: what an app's own tests need, without a broker."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask

from app_adapter import Event, InvalidName, Reject
from bridge.outcome import Failed, Rejected, Succeeded
from tests.unit.app_adapter.replays import Shop


def test_what_is_deferred_is_recorded() -> None:
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
    """The outcomes come in the order of the events."""
    shop = Shop()
    shop.listens()
    shop.events.on("bad.payload", name="bad")(lambda event: 1 / 0)

    with shop.events.testing() as deferred:
        shop.events.defer("order.paid", delay=timedelta(days=1))
        shop.events.defer("bad.payload")
        outcomes = deferred.replay()

    assert outcomes[0] == Succeeded()
    assert isinstance(outcomes[1], Failed)
    assert outcomes[1].error.type == "ZeroDivisionError"
    assert [event.id for event in shop.received] == [deferred[0].id]


def test_a_rejection_is_an_outcome() -> None:
    """Nothing is raised by replay()."""
    shop = Shop()
    shop.listens(raising=Reject("no"))

    with shop.events.testing() as deferred:
        shop.events.defer("order.paid")
        (outcome,) = deferred.replay()

    assert isinstance(outcome, Rejected)


def test_an_event_is_replayed_once() -> None:
    """A second replay() takes only what came since; what a listener defers is left for it."""
    shop = Shop()
    shop.events.on("order.paid", name="chain")(lambda event: shop.events.defer("order.sent"))
    shop.listens()

    with shop.events.testing() as deferred:
        shop.events.defer("order.paid")
        counts = [len(deferred.replay()) for _ in range(3)]

    assert counts == [1, 1, 0]
    assert [one.name for one in deferred] == ["order.paid", "order.sent"]


def test_an_event_is_replayed_once_for_each_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it would be published."""
    monkeypatch.chdir(tmp_path)
    Path("bridge.toml").write_text("[queues.mail]\npatterns = ['order.#']\n[queues.audit]\npatterns = ['#']")
    shop = Shop()
    shop.listens()

    with shop.events.testing() as deferred:
        shop.events.defer("order.paid")
        deferred.replay()

    assert [event.queue for event in shop.received] == ["mail", "audit"]


def test_threads_record_too() -> None:
    """The mode holds in every thread."""
    shop = Shop()

    with shop.events.testing() as deferred:
        threads = [threading.Thread(target=shop.events.defer, args=("order.paid", at)) for at in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert sorted(one.payload for one in deferred) == list(range(8))


def test_arguments_are_checked_as_in_earnest() -> None:
    """What defer() would refuse, it refuses here."""
    shop = Shop()

    with shop.events.testing() as deferred, pytest.raises(InvalidName):
        shop.events.defer("not a name")
    assert len(deferred) == 0


def test_the_mode_ends_with_its_block() -> None:
    """An inner recording gives way to the outer one, and that to none, after an error as well."""
    shop = Shop()

    with shop.events.testing() as outer:
        with pytest.raises(RuntimeError), shop.events.testing() as inner:
            shop.events.defer("order.paid")
            raise RuntimeError
        shop.events.defer("order.sent")

    assert ([one.name for one in inner], [one.name for one in outer]) == (["order.paid"], ["order.sent"])
    assert shop.events.recording is None


def test_replay_works_in_a_request_of_the_test() -> None:
    """A context that the test holds open is not disturbed."""
    app = Flask("shop")
    shop = Shop(app)
    seen: list[Event] = shop.received
    shop.listens()

    with shop.events.testing() as deferred, app.test_request_context("/"):
        shop.events.defer("order.paid")
        outcomes = deferred.replay()

    assert outcomes == [Succeeded()]
    assert len(seen) == 1
