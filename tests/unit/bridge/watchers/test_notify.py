"""The call of the watchers: every watcher receives every moment, in order, even if another watcher raises."""

import asyncio
import logging
from concurrent.futures import CancelledError
from functools import partial

import pytest

from bridge.moments import BrokerBack, BrokerLost, Moment, hears
from bridge.watchers.counters import Counters
from bridge.watchers.notify import Watchers, check, name_of

LOST = BrokerLost("connection refused")


def test_every_watcher_is_called_in_order() -> None:
    """The watchers receive each moment in the order in which they were given."""
    calls: list[tuple[str, Moment]] = []
    tell = Watchers([lambda moment: calls.append(("first", moment)), lambda moment: calls.append(("second", moment))])

    tell(LOST)
    tell(BrokerBack(2.5))

    assert calls == [("first", LOST), ("second", LOST), ("first", BrokerBack(2.5)), ("second", BrokerBack(2.5))]


class OnlyBack:
    """A watcher of one type of moments."""

    def __init__(self, received: list[Moment]) -> None:
        self.received = received

    def hears(self, kind: type) -> bool:
        """Return whether moments of this type are wanted."""
        return kind is BrokerBack

    def __call__(self, moment: Moment) -> None:
        self.received.append(moment)


def test_a_watcher_says_which_moments_it_receives() -> None:
    """A moment that nobody receives need not be made. A watcher that does not say receives all."""
    received: list[Moment] = []
    tell = Watchers([OnlyBack(received)])

    tell(LOST)
    tell(BrokerBack(1.0))

    assert received == [BrokerBack(1.0)]
    assert (tell.hears(BrokerLost), tell.hears(BrokerBack)) == (False, True)
    tell.add(received.append)
    assert hears(tell, BrokerLost)
    assert hears(received.append, BrokerLost)


def test_a_watcher_that_cannot_say_receives_all(caplog: pytest.LogCaptureFixture) -> None:
    """Its failure is logged, and the emitter is not disturbed."""
    received: list[Moment] = []

    class Broken(OnlyBack):
        hears = None  # type: ignore[assignment]

    class Raising(OnlyBack):
        def hears(self, kind: type) -> bool:
            raise RuntimeError("broken")

    Watchers([Broken(received), Raising(received)])(LOST)

    assert received == [LOST, LOST]
    assert "Raising failed" in caplog.text


def test_watchers_come_and_go() -> None:
    """A watcher receives the moments between `add` and `remove`."""
    received: list[Moment] = []
    watchers = Watchers()

    watchers(LOST)
    watchers.add(received.append)
    watchers(LOST)
    watchers.remove(received.append)
    watchers(LOST)

    assert received == [LOST]


@pytest.mark.parametrize(
    "error", [RuntimeError("broken"), RecursionError(), CancelledError(), asyncio.CancelledError(), KeyError()]
)
def test_the_other_watchers_are_called_if_one_raises(error: BaseException) -> None:
    """An exception of a watcher, even a cancellation, does not keep the other watchers from being called."""
    received: list[Moment] = []

    def broken(_: Moment) -> None:
        raise error

    Watchers([received.append, broken, received.append])(LOST)

    assert received == [LOST, LOST]


@pytest.mark.parametrize("request_to_end", [SystemExit, KeyboardInterrupt])
def test_a_request_to_end_the_process_is_raised(request_to_end: type[BaseException]) -> None:
    """`SystemExit` and `KeyboardInterrupt` are raised to the caller: a signal handler can raise them in a watcher."""

    def interrupted(_: Moment) -> None:
        raise request_to_end

    with pytest.raises(request_to_end):
        Watchers([interrupted])(LOST)


def broken(moment: Moment) -> None:
    """Raise at every moment."""
    raise RuntimeError(f"broken at {moment}")


def test_a_broken_watcher_is_logged_with_its_traceback_and_does_not_flood_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Only the 1st, 10th, 100th and 1000th failure are logged, each with its traceback."""
    tell = Watchers([broken])

    for _ in range(1500):
        tell(LOST)

    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 4
    assert [record.args and record.args[1] for record in caplog.records] == [1, 10, 100, 1000]  # type: ignore[index]  # a tuple
    assert f"watcher {__name__}.broken failed" in caplog.messages[0]
    assert all("RuntimeError: broken at BrokerLost" in str(record.exc_text) for record in caplog.records)


def test_each_watcher_has_its_own_count(caplog: pytest.LogCaptureFixture) -> None:
    """Many failures of one watcher do not hide the first failure of another watcher."""

    def other(_: Moment) -> None:
        raise ValueError

    tell = Watchers([broken, broken, other])
    tell(LOST)

    assert len(caplog.records) == 2
    assert "other" in caplog.messages[1]


def test_an_asynchronous_watcher_is_a_broken_one(caplog: pytest.LogCaptureFixture) -> None:
    """The coroutine of an asynchronous watcher would never be awaited, so the watcher counts as failed."""

    async def later(_: Moment) -> None:
        """Never run."""

    Watchers([later])(LOST)

    assert "it is asynchronous: expected a plain function" in str(caplog.records[0].exc_text)


class Asynchronous:
    """An object whose call is asynchronous."""

    async def __call__(self, moment: Moment) -> None:
        """Never run."""


async def asynchronous(_: Moment) -> None:
    """Never run."""


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (Counters, "it is a class: expected an instance"),
        (17, "it is a int: expected a callable that takes one moment"),
        (asynchronous, "it is asynchronous: expected a plain function"),
        (Asynchronous(), "it is asynchronous: expected a plain function"),
    ],
)
def test_an_object_that_cannot_be_a_watcher_is_refused(found: object, message: str) -> None:
    """An invalid watcher is refused before the first moment, with a reason."""
    with pytest.raises(TypeError, match=message):
        check(found)


def test_functions_and_objects_can_be_watchers() -> None:
    """An object with `__call__`, a function, a bound method and a partial can be watchers."""
    received: list[Moment] = []
    counters = Counters()
    for watcher in (counters, broken, received.append, partial(broken)):
        assert check(watcher) is watcher


def test_a_watcher_has_a_name_for_the_log() -> None:
    """The name of a watcher is its module and name, or those of its class."""
    assert name_of(broken) == name_of(partial(broken)) == f"{__name__}.broken"
    assert name_of(Counters()) == "bridge.watchers.counters.Counters"
